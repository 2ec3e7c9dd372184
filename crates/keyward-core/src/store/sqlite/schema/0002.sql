-- Secrets that are on their way into a file, before their keys exist. Anything a crash leaves in that file is
-- recognised by its id, and nothing else there is taken for a leftover.
CREATE TABLE announced_secret (
    public_id TEXT PRIMARY KEY,
    at        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

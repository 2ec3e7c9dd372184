-- How often keys may be used, and how often they were.

-- The limits of a key, and those that the keys of a user or a tenant share: a text, because a row that is missing would
-- lift one.
ALTER TABLE key ADD COLUMN limits TEXT NOT NULL DEFAULT '';
ALTER TABLE "user" ADD COLUMN limits TEXT NOT NULL DEFAULT '';
ALTER TABLE tenant ADD COLUMN limits TEXT NOT NULL DEFAULT '';

-- What has been used of a limit: of whose, of which length in seconds; of a rate its arrival time in ticks of 100
-- nanoseconds, of a quota the second at which its day or month began, and the number. `subject` is the number of a row of
-- `key`, "user" or tenant; of a policy's limit `kind` is `policy:NAME` and `subject` the key's.
CREATE TABLE meter (
    kind    TEXT NOT NULL,
    subject INTEGER NOT NULL,
    length  INTEGER NOT NULL,
    mark    INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    PRIMARY KEY (kind, subject, length)
) STRICT, WITHOUT ROWID;
CREATE INDEX meter_by_subject ON meter (subject);

-- The last row of `key`, "user" and tenant that was deleted at their end: no row is given to another one, because whoever
-- keeps in memory what was used of a limit knows whose it is by the row.
CREATE TABLE last_row (
    kind   TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

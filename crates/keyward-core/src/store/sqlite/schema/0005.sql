-- How often keys may be used, and how often they were.

-- The limits of a key, and those shared by the keys of a user or a tenant: a text, because a missing row would lift a
-- limit.
ALTER TABLE key ADD COLUMN limits TEXT NOT NULL DEFAULT '';
ALTER TABLE "user" ADD COLUMN limits TEXT NOT NULL DEFAULT '';
ALTER TABLE tenant ADD COLUMN limits TEXT NOT NULL DEFAULT '';

-- What has been used of a limit: its subject, and its period in seconds; for a rate, its arrival time in ticks of 100
-- nanoseconds; for a quota, the second at which its day or month began, and the number. `subject` is the number of a
-- row of `key`, "user" or tenant; of a policy's limit `kind` is `policy:NAME` and `subject` the key's.
CREATE TABLE meter (
    kind    TEXT NOT NULL,
    subject INTEGER NOT NULL,
    length  INTEGER NOT NULL,
    mark    INTEGER NOT NULL,
    used    INTEGER NOT NULL,
    PRIMARY KEY (kind, subject, length)
) STRICT, WITHOUT ROWID;
CREATE INDEX meter_by_subject ON meter (subject);

-- The last rows that were deleted from the ends of `key`, "user" and tenant: a row number is never reused, because
-- counts of limits in memory are identified by it.
CREATE TABLE last_row (
    kind   TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- How often a key was used in an hour, by the second at which the hour began: what was allowed, what the key may not
-- do, and what a limit refused. Calls counted before this table existed are in the hour of the last use.
CREATE TABLE usage (
    key       INTEGER NOT NULL REFERENCES key (id) ON DELETE CASCADE,
    hour      INTEGER NOT NULL,
    allowed   INTEGER NOT NULL,
    forbidden INTEGER NOT NULL,
    limited   INTEGER NOT NULL,
    PRIMARY KEY (key, hour)
) STRICT, WITHOUT ROWID;
CREATE INDEX usage_by_hour ON usage (hour);
INSERT INTO usage (key, hour, allowed, forbidden, limited)
    SELECT key, last_used_at - (last_used_at % 3600 + 3600) % 3600, use_count, 0, 0 FROM key_use;
-- The address from which a key was last used, if known.
ALTER TABLE key_use ADD COLUMN last_used_from TEXT;

-- Where the store was moved to: the path of a file, or the URL of a server without password and parameters. `is_moved`
-- is 0 while the move is in progress. A store with this mark is only read.
ALTER TABLE history_head ADD COLUMN moved_to TEXT;
ALTER TABLE history_head ADD COLUMN is_moved INTEGER NOT NULL DEFAULT 0 CHECK (is_moved IN (0, 1));

-- The form in which a secret from another system came, and the 24 bits by which its text is found; -1 while the text is
-- unknown. NULL for keyward's own secrets.
ALTER TABLE secret ADD COLUMN imported TEXT CHECK (imported IN ('secret', 'sha256', 'phc'));
ALTER TABLE secret ADD COLUMN bucket INTEGER
    CHECK (CASE WHEN imported IS NULL THEN bucket IS NULL ELSE bucket BETWEEN -1 AND 16777215 END);
CREATE INDEX secret_by_bucket ON secret (bucket);

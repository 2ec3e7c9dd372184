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

-- How often a key was used in an hour, by the second at which the hour began: what was allowed, what the key may not do,
-- and what a limit refused. What was counted before that was kept stands in the hour of the last use.
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
-- From which address a key was last used, where that is known.
ALTER TABLE key_use ADD COLUMN last_used_from TEXT;

-- Where the store was moved to: the path of a file, or the URL of a server without password and parameters. `is_moved` is 0
-- for as long as it is on its way. A store for which this is said is only read.
ALTER TABLE history_head ADD COLUMN moved_to TEXT;
ALTER TABLE history_head ADD COLUMN is_moved INTEGER NOT NULL DEFAULT 0 CHECK (is_moved IN (0, 1));

-- As what a secret came that another system made, and the 24 bits that its text is found by; -1 for as long as nobody
-- knows the text. NULL for our own.
ALTER TABLE secret ADD COLUMN imported TEXT CHECK (imported IN ('secret', 'sha256', 'phc'));
ALTER TABLE secret ADD COLUMN bucket INTEGER
    CHECK (CASE WHEN imported IS NULL THEN bucket IS NULL ELSE bucket BETWEEN -1 AND 16777215 END);
CREATE INDEX secret_by_bucket ON secret (bucket);

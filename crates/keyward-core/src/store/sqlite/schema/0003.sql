-- Conventions become columns: staged secrets, the lengths of a key's lists, the secret of an event. Also leases on
-- names and keys whose secret is on its way.

-- A staged secret works beside the current one, and has no end. Until now, it had an end that meant never.
ALTER TABLE secret ADD COLUMN staged INTEGER NOT NULL DEFAULT 0
    CHECK (staged = 0 OR staged = 1 AND expires_at IS NULL);
DROP INDEX secret_current;
UPDATE secret SET staged = 1, expires_at = NULL WHERE expires_at = 253402128000;
CREATE UNIQUE INDEX secret_current ON secret (key) WHERE expires_at IS NULL AND staged = 0;

-- The numbers of rows in a key's lists: a missing row is damage, and must not lift a restriction.
ALTER TABLE key ADD COLUMN scope_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN level_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN address_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE key ADD COLUMN label_count INTEGER NOT NULL DEFAULT 0;
UPDATE key SET scope_count = (SELECT count(*) FROM key_scope s WHERE s.key = key.id),
               level_count = (SELECT count(*) FROM key_level l WHERE l.key = key.id),
               address_count = (SELECT count(*) FROM key_address a WHERE a.key = key.id),
               label_count = (SELECT count(*) FROM key_label b WHERE b.key = key.id);

-- The public id of the secret in an event. It repeats the detail, and a check of the history compares the two. It is
-- filled in by `tell_secrets` in mod.rs: the JSON functions of SQLite are not compiled in.
ALTER TABLE history ADD COLUMN secret_id TEXT;
CREATE INDEX history_by_secret ON history (secret_id) WHERE secret_id IS NOT NULL;

-- Leases for minting, on a name (`name:NAME`) or a key (`key:ID`): the public id of the secret on its way, the process
-- that delivers it, and when the lease ends unless it is renewed.
CREATE TABLE reservation (
    subject TEXT PRIMARY KEY,
    secret  TEXT NOT NULL,
    holder  TEXT NOT NULL,
    until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX reservation_by_secret ON reservation (secret);
CREATE INDEX reservation_by_end ON reservation (until);

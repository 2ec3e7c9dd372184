-- An identity for the store, and no index that leaves rows out.

-- Which store this is, beside the end of its history: a process that has it open reads both at once, and knows whether
-- another store, or an older state of the same one, was put in its place. A restored backup gets another id.
ALTER TABLE history_head ADD COLUMN store_id TEXT NOT NULL DEFAULT '';
-- Which file it is in and how many commits there were, and how many when the present log was begun: a log that does not
-- belong to the file beside it is recognised by these. A backup is another file of the same store.
ALTER TABLE history_head ADD COLUMN binding TEXT NOT NULL DEFAULT '';
ALTER TABLE history_head ADD COLUMN log_base INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history_head ADD COLUMN log_salt INTEGER;
INSERT INTO history_head (one, seq, hash) VALUES (1, 0, zeroblob(32)) ON CONFLICT (one) DO NOTHING;
UPDATE history_head SET store_id = lower(hex(randomblob(16))),
                        binding = 'keyward-file:' || lower(hex(randomblob(16))) || '0000000000000000';

-- A check of the file counts the entries of an index only where every row has one. So each of these has all rows.
DROP INDEX key_by_group;
DROP INDEX key_by_owner;
DROP INDEX key_by_role;
DROP INDEX key_by_tenant;
DROP INDEX key_by_expiry;
DROP INDEX key_disabled;
DROP INDEX secret_current;
DROP INDEX history_by_secret;
DROP INDEX history_by_key_name;
CREATE INDEX key_by_group ON key (key_group);
CREATE INDEX key_by_owner ON key (owner);
CREATE INDEX key_by_role ON key (role);
CREATE INDEX key_by_tenant ON key (tenant);
CREATE INDEX key_by_expiry ON key (expires_at);
CREATE INDEX key_by_enabled ON key (enabled, name);
CREATE INDEX history_by_secret ON history (secret_id);
CREATE INDEX history_by_name ON history (subject_kind, subject_name, seq);
-- One current secret a key. NULL is not equal to NULL, so any number of others.
CREATE UNIQUE INDEX secret_current ON secret (CASE WHEN expires_at IS NULL AND staged = 0 THEN key END);

-- A secret that was replaced without a grace, or whose grace a later rotation saw ended, is over at any time: a clock
-- that goes back does not revive it. What earlier schemas kept of that is when it ended: at the moment of a rotation.
ALTER TABLE secret ADD COLUMN retired INTEGER NOT NULL DEFAULT 0
    CHECK (retired = 0 OR retired = 1 AND expires_at IS NOT NULL AND staged = 0);
UPDATE secret SET retired = 1
 WHERE expires_at IN (SELECT h.at FROM key k JOIN history h ON h.subject_kind = 'key' AND h.subject_id = k.public_id
                       WHERE k.id = secret.key AND h.action = 'key.rotate');

-- When the expiry of a key was last changed, which is what a duration counted from; NULL for when the key was made.
ALTER TABLE key ADD COLUMN expiry_set_at INTEGER;

-- The name of a setting that limits the whole life of a secret now.
UPDATE setting SET name = 'max_lifetime' WHERE name = 'longest_life';

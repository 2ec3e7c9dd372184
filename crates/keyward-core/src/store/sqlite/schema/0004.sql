-- An identity for the store, and no index that leaves rows out.

-- The identity of this store, stored with the end of its history: a process that has it open reads both at once, and
-- notices if another store, or an older state of this one, replaced it. A restored backup gets another id.
ALTER TABLE history_head ADD COLUMN store_id TEXT NOT NULL DEFAULT '';
-- The store's file, how many commits there were, and how many when the present log was begun: these reveal a log that
-- does not belong to the file beside it. A backup is another file of the same store.
ALTER TABLE history_head ADD COLUMN binding TEXT NOT NULL DEFAULT '';
ALTER TABLE history_head ADD COLUMN log_base INTEGER NOT NULL DEFAULT 0;
ALTER TABLE history_head ADD COLUMN log_salt INTEGER;
INSERT INTO history_head (one, seq, hash) VALUES (1, 0, zeroblob(32)) ON CONFLICT (one) DO NOTHING;
UPDATE history_head SET store_id = lower(hex(randomblob(16))),
                        binding = 'keyward-file:' || lower(hex(randomblob(16))) || '0000000000000000';

-- A check of the file counts the entries of an index only if every row has one. So each of these has all rows.
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
-- One current secret per key. NULL is not equal to NULL, so there can be any number of others.
CREATE UNIQUE INDEX secret_current ON secret (CASE WHEN expires_at IS NULL AND staged = 0 THEN key END);

-- A secret that was replaced without a grace period, or whose grace period had ended at a later rotation, has ended for
-- good: a clock that goes back does not revive it. Earlier schemas recorded only when it ended: at the moment of a
-- rotation.
ALTER TABLE secret ADD COLUMN retired INTEGER NOT NULL DEFAULT 0
    CHECK (retired = 0 OR retired = 1 AND expires_at IS NOT NULL AND staged = 0);
UPDATE secret SET retired = 1
 WHERE expires_at IN (SELECT h.at FROM key k JOIN history h ON h.subject_kind = 'key' AND h.subject_id = k.public_id
                       WHERE k.id = secret.key AND h.action = 'key.rotate');

-- When the expiry of a key was last changed, from which durations count; NULL for when the key was made.
ALTER TABLE key ADD COLUMN expiry_set_at INTEGER;

-- Renames a setting that now limits the whole life of a secret.
UPDATE setting SET name = 'max_lifetime' WHERE name = 'longest_life';

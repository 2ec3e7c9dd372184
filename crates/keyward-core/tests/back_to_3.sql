-- What the fourth schema added, taken away again: a store as the program before it wrote it.
ALTER TABLE history_head DROP COLUMN store_id;
ALTER TABLE history_head DROP COLUMN binding;
ALTER TABLE history_head DROP COLUMN log_base;
ALTER TABLE history_head DROP COLUMN log_salt;
DROP INDEX secret_current;
CREATE UNIQUE INDEX secret_current ON secret (key) WHERE expires_at IS NULL AND staged = 0;
DROP INDEX key_by_enabled;
CREATE INDEX key_disabled ON key (name) WHERE enabled = 0;
DROP INDEX history_by_name;
CREATE INDEX history_by_key_name ON history (subject_name, seq) WHERE subject_kind = 'key';
PRAGMA user_version = 3;

-- The first schema. A file in this folder is never changed after its release: later files add to it.
--
-- Times are whole seconds since 1970-01-01 in UTC. Booleans are 0 and 1. Names compare byte by byte.

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE role (
    id           INTEGER PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    description  TEXT,
    rank         INTEGER NOT NULL,
    manages_keys INTEGER NOT NULL CHECK (manages_keys IN (0, 1)),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE tenant (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE key_group (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE user (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT,
    role        INTEGER REFERENCES role (id),
    tenant      INTEGER REFERENCES tenant (id),
    enabled     INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT;
CREATE INDEX user_by_role ON user (role);
CREATE INDEX user_by_tenant ON user (tenant);

CREATE TABLE key (
    id             INTEGER PRIMARY KEY,
    public_id      TEXT NOT NULL UNIQUE,
    name           TEXT NOT NULL UNIQUE,
    description    TEXT,
    key_group      INTEGER REFERENCES key_group (id),
    owner          INTEGER REFERENCES user (id),
    role           INTEGER REFERENCES role (id),
    tenant         INTEGER REFERENCES tenant (id),
    read_only      INTEGER NOT NULL CHECK (read_only IN (0, 1)),
    require_secure INTEGER NOT NULL CHECK (require_secure IN (0, 1)),
    enabled        INTEGER NOT NULL CHECK (enabled IN (0, 1)),
    expires_at     INTEGER,
    prefix         TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    created_by     TEXT,
    updated_at     INTEGER NOT NULL,
    revision       INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE INDEX key_by_group ON key (key_group) WHERE key_group IS NOT NULL;
CREATE INDEX key_by_owner ON key (owner) WHERE owner IS NOT NULL;
CREATE INDEX key_by_role ON key (role) WHERE role IS NOT NULL;
CREATE INDEX key_by_tenant ON key (tenant) WHERE tenant IS NOT NULL;
CREATE INDEX key_by_expiry ON key (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX key_by_creation ON key (created_at, name);
CREATE INDEX key_disabled ON key (name) WHERE enabled = 0;

CREATE TABLE key_scope (
    key   INTEGER NOT NULL REFERENCES key (id) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    PRIMARY KEY (key, scope)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_scope_by_scope ON key_scope (scope, key);

CREATE TABLE key_level (
    key   INTEGER NOT NULL REFERENCES key (id) ON DELETE CASCADE,
    level TEXT NOT NULL,
    PRIMARY KEY (key, level)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_level_by_level ON key_level (level, key);

CREATE TABLE key_address (
    key     INTEGER NOT NULL REFERENCES key (id) ON DELETE CASCADE,
    network TEXT NOT NULL,
    PRIMARY KEY (key, network)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_label (
    key   INTEGER NOT NULL REFERENCES key (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (key, label)
) STRICT, WITHOUT ROWID;
CREATE INDEX key_label_by_label ON key_label (label, value, key);

-- A key has one secret without an end, and one more row for each rotation. The rows of retired secrets stay, so that a
-- client still presenting one can be told what happened to it.
CREATE TABLE secret (
    id         INTEGER PRIMARY KEY,
    public_id  TEXT NOT NULL UNIQUE,
    key        INTEGER NOT NULL REFERENCES key (id) ON DELETE CASCADE,
    hash       TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT;
CREATE INDEX secret_by_key ON secret (key);
CREATE UNIQUE INDEX secret_current ON secret (key) WHERE expires_at IS NULL;

-- Separate from the key, because only this part changes with every request.
CREATE TABLE key_use (
    key          INTEGER PRIMARY KEY REFERENCES key (id) ON DELETE CASCADE,
    last_used_at INTEGER NOT NULL,
    use_count    INTEGER NOT NULL
) STRICT;
CREATE INDEX key_use_by_time ON key_use (last_used_at);

-- Who did what, when. Rows refer to nothing by key, because they outlive their subjects.
CREATE TABLE history (
    seq          INTEGER PRIMARY KEY,
    at           INTEGER NOT NULL,
    actor        TEXT,
    action       TEXT NOT NULL,
    subject_kind TEXT NOT NULL,
    subject_id   TEXT,
    subject_name TEXT NOT NULL,
    detail       TEXT NOT NULL,
    hash         BLOB NOT NULL
) STRICT;
CREATE INDEX history_by_subject ON history (subject_kind, subject_id, seq);
CREATE INDEX history_by_time ON history (at);
CREATE INDEX history_by_key_name ON history (subject_name, seq) WHERE subject_kind = 'key';

-- The end of the chain, so that the removal of the newest rows is noticed too.
CREATE TABLE history_head (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;

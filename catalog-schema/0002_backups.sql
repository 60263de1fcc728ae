-- Backups and the packs that hold their bytes.

-- Complete backups. A backup exists when its row is here; what a crash leaves behind in the store
-- has no row and is collected by `prune`.
CREATE TABLE backup (
    -- The backup's identifier: its moment and 24 random bits, `20261122T020000Z-3fa9c1`.
    backup_id TEXT NOT NULL PRIMARY KEY CHECK (
        backup_id GLOB '????????T??????Z-??????'
        AND backup_id NOT GLOB '*[^0-9a-fTZ-]*'
    ),
    -- The source that was captured.
    source_id BLOB NOT NULL REFERENCES source (source_id),
    -- Why it was made, and so how long it is kept: `daily`, `weekly`, `pre-migration`, `manual`.
    class TEXT NOT NULL CHECK (
        length(class) BETWEEN 1 AND 31
        AND class NOT GLOB '*[^a-z-]*'
    ),
    -- What is in it: `full`, `schema-only` or `data-only`.
    kind TEXT NOT NULL CHECK (kind IN ('full', 'schema-only', 'data-only')),
    -- The operator's own words about the occasion, if any. It must not name a data subject: an
    -- erasure does not reach it.
    note TEXT CHECK (length(note) BETWEEN 1 AND 500),
    -- When the command began.
    started_at TEXT NOT NULL CHECK (started_at GLOB '????-??-??T??:??:??.??????Z'),
    -- The moment of the PostgreSQL snapshot: the one moment that the backup shows.
    snapshot_at TEXT NOT NULL CHECK (snapshot_at GLOB '????-??-??T??:??:??.??????Z'),
    -- When the last object was durable in the store.
    finished_at TEXT NOT NULL CHECK (finished_at GLOB '????-??-??T??:??:??.??????Z'),
    -- The server's version as `server_version_num` gives it; 150018 is 15.18.
    server_version_num INTEGER NOT NULL CHECK (server_version_num > 0),
    -- SHA-256 of the subject map in force, or nothing where no row was captured (schema only).
    map_digest BLOB CHECK (length(map_digest) = 32),
    -- The manifest's object in the store.
    manifest_name TEXT NOT NULL CHECK (length(manifest_name) BETWEEN 1 AND 1024),
    -- The manifest's length in bytes.
    manifest_bytes INTEGER NOT NULL CHECK (manifest_bytes > 0),
    -- SHA-256 of the manifest's object.
    manifest_sha256 BLOB NOT NULL CHECK (length(manifest_sha256) = 32),
    -- Rows captured, of all tables.
    row_count INTEGER NOT NULL CHECK (row_count >= 0),
    -- Data subjects who own at least one of those rows.
    subject_count INTEGER NOT NULL CHECK (subject_count >= 0),
    -- Segments sealed or, where the content was unchanged, referred to.
    segment_count INTEGER NOT NULL CHECK (segment_count >= 0),
    -- Bytes that this backup added to the store.
    bytes_stored INTEGER NOT NULL CHECK (bytes_stored >= 0),
    -- The shard whose key wraps the backup key.
    shard_id INTEGER NOT NULL REFERENCES shard (shard_id),
    -- The backup key (an age identity), wrapped under the shard key.
    wrapped_key BLOB NOT NULL CHECK (length(wrapped_key) BETWEEN 40 AND 256)
) STRICT, WITHOUT ROWID;

CREATE INDEX backup_by_source ON backup (source_id, snapshot_at);
CREATE INDEX backup_by_shard ON backup (shard_id);

-- Packs: objects in the store that hold sealed segments.
CREATE TABLE pack (
    -- The pack's identifier, drawn at random; its object's name follows from it.
    pack_id BLOB NOT NULL PRIMARY KEY CHECK (length(pack_id) = 16),
    -- The object's length in bytes.
    bytes INTEGER NOT NULL CHECK (bytes > 0),
    -- SHA-256 of the object.
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    -- The backup that wrote the pack. Later backups may use it too, and may outlive that one: so
    -- this is a note, not a reference.
    created_by TEXT NOT NULL CHECK (created_by GLOB '????????T??????Z-??????')
) STRICT, WITHOUT ROWID;

-- Which backup needs which pack. A pack that no row names here can be removed from the store.
CREATE TABLE backup_pack (
    -- The backup.
    backup_id TEXT NOT NULL REFERENCES backup (backup_id),
    -- A pack that its index refers to.
    pack_id BLOB NOT NULL REFERENCES pack (pack_id),
    PRIMARY KEY (backup_id, pack_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX backup_pack_by_pack ON backup_pack (pack_id);

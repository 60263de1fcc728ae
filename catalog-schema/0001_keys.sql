-- The vault, its sources, and the wrapped keys of people.
--
-- Conventions of every migration: a comment stands directly above each table and each column; a
-- moment is text, RFC 3339 in UTC with microseconds; an identifier is a blob of fixed length; a
-- wrapped key is bytes that nothing in this database can open.

-- The one vault that this catalog describes.
CREATE TABLE vault (
    -- Always 1: there is one vault in a catalog.
    only INTEGER PRIMARY KEY CHECK (only = 1),
    -- The vault's identifier, drawn at random by `init` and never changed.
    vault_id BLOB NOT NULL CHECK (length(vault_id) = 16),
    -- The version of the sealed format (docs/format.md) that the vault began with.
    format_version INTEGER NOT NULL CHECK (format_version >= 1),
    -- When `init` made the vault.
    created_at TEXT NOT NULL CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    -- The present epoch: 1 at first, one more with every forgetting. Shard keys are wrapped under
    -- the root key of this epoch.
    epoch INTEGER NOT NULL CHECK (epoch >= 1)
) STRICT;

-- A vault row is changed, never taken away: without it, no key in the catalog means anything.
CREATE TRIGGER vault_is_kept BEFORE DELETE ON vault
BEGIN
    SELECT RAISE(ABORT, 'the vault row cannot be deleted');
END;

-- Epochs only go forward: an old epoch's secret is destroyed, so going back would lose every key.
CREATE TRIGGER vault_epoch_goes_forward BEFORE UPDATE OF epoch ON vault
WHEN NEW.epoch < OLD.epoch
BEGIN
    SELECT RAISE(ABORT, 'the epoch cannot go back');
END;

-- A PostgreSQL database that is backed up.
CREATE TABLE source (
    -- The source's identifier, drawn at random: a renamed source stays the same.
    source_id BLOB NOT NULL PRIMARY KEY CHECK (length(source_id) = 16),
    -- The name that people type. It appears in the audit log, so its letters are restricted.
    name TEXT NOT NULL UNIQUE CHECK (
        length(name) BETWEEN 1 AND 63
        AND name NOT GLOB '*[^A-Za-z0-9._-]*'
        AND name GLOB '[A-Za-z0-9]*'
    ),
    -- The connection URL, sealed, because it may hold a password; or nothing, see url_env.
    url_sealed BLOB CHECK (length(url_sealed) BETWEEN 28 AND 16384),
    -- The name of the environment variable that holds the URL; or nothing, see url_sealed.
    url_env TEXT CHECK (
        length(url_env) BETWEEN 1 AND 255
        AND url_env NOT GLOB '*[^A-Za-z0-9_]*'
        AND url_env NOT GLOB '[0-9]*'
    ),
    -- When `source add` recorded it.
    created_at TEXT NOT NULL CHECK (created_at GLOB '????-??-??T??:??:??.??????Z'),
    CHECK ((url_sealed IS NULL) <> (url_env IS NULL))
) STRICT, WITHOUT ROWID;

-- The subject maps that a source has had; the newest is in force.
CREATE TABLE subject_map (
    -- Counts up from 1; the greatest of a source is its map in force.
    map_number INTEGER PRIMARY KEY,
    -- The source that the map describes.
    source_id BLOB NOT NULL REFERENCES source (source_id),
    -- SHA-256 of the map's text. Each backup carries the digest of the map that it was made with.
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    -- The map as TOML: names of tables and columns, never values of rows.
    toml TEXT NOT NULL CHECK (length(toml) BETWEEN 1 AND 16777216),
    -- When it was put in force.
    created_at TEXT NOT NULL CHECK (created_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT;

CREATE INDEX subject_map_by_source ON subject_map (source_id, map_number);

-- Shard keys: the middle of the key tree. Each wraps the keys of some hundreds or thousands of
-- subjects, so that a forgetting has to re-wrap few of them.
CREATE TABLE shard (
    -- The shard's number, from 1; never used again.
    shard_id INTEGER PRIMARY KEY CHECK (shard_id BETWEEN 1 AND 4294967295),
    -- The shard key, wrapped under the root key of the vault's present epoch.
    wrapped_key BLOB NOT NULL CHECK (length(wrapped_key) BETWEEN 40 AND 256),
    -- How many keys the shard may hold before another shard is begun.
    capacity INTEGER NOT NULL CHECK (capacity >= 1)
) STRICT;

-- The keys of data subjects: one row for each person of each source, whatever the number of
-- backups. Without the row, her rows in every backup are noise.
CREATE TABLE subject (
    -- The subject reference: the only stored form of a person's identity.
    reference BLOB NOT NULL PRIMARY KEY CHECK (
        length(reference) = 16
        AND reference <> x'00000000000000000000000000000000'
    ),
    -- The source in which she was found.
    source_id BLOB NOT NULL REFERENCES source (source_id),
    -- The shard whose key wraps hers.
    shard_id INTEGER NOT NULL REFERENCES shard (shard_id),
    -- The subject key, wrapped under the shard key.
    wrapped_key BLOB NOT NULL CHECK (length(wrapped_key) BETWEEN 40 AND 256),
    -- When a backup first met her.
    created_at TEXT NOT NULL CHECK (created_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

CREATE INDEX subject_by_shard ON subject (shard_id);

-- The vault's few other keys: for rows that are nobody's, for subject references, for tombstones.
CREATE TABLE vault_key (
    -- What the key is for: `commons`, `index`, `canary`, `tombstone:2026Q4`, and so on.
    kind TEXT NOT NULL PRIMARY KEY CHECK (
        length(kind) BETWEEN 1 AND 63
        AND kind NOT GLOB '*[^A-Za-z0-9:._-]*'
    ),
    -- The shard whose key wraps it.
    shard_id INTEGER NOT NULL REFERENCES shard (shard_id),
    -- The key, wrapped under the shard key.
    wrapped_key BLOB NOT NULL CHECK (length(wrapped_key) BETWEEN 40 AND 256)
) STRICT, WITHOUT ROWID;

CREATE INDEX vault_key_by_shard ON vault_key (shard_id);

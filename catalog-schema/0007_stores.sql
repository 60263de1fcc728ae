-- Several stores: which backup is complete in which of them, what each was seen to do, and how far
-- the catalog's replica in each goes.

-- Which backup lies in which store. A backup is in the store that it was written to from the moment
-- on in which it exists; the others are filled after that.
CREATE TABLE backup_copy (
    -- The backup.
    backup_id TEXT NOT NULL REFERENCES backup (backup_id),
    -- The store's name in the configuration.
    store TEXT NOT NULL CHECK (
        length(store) BETWEEN 1 AND 31
        AND store NOT GLOB '*[^a-z0-9-]*'
    ),
    -- `complete` when every object of the backup is there and its digest was checked on the way,
    -- `behind` while it should be there and is not, or not whole.
    state TEXT NOT NULL CHECK (state IN ('complete', 'behind')),
    -- When it came into its state.
    noted_at TEXT NOT NULL CHECK (noted_at GLOB '????-??-??T??:??:??.??????Z'),
    PRIMARY KEY (backup_id, store)
) STRICT, WITHOUT ROWID;

-- What a store was seen to do, with real objects.
CREATE TABLE store (
    -- The store's name in the configuration.
    store TEXT NOT NULL PRIMARY KEY CHECK (
        length(store) BETWEEN 1 AND 31
        AND store NOT GLOB '*[^a-z0-9-]*'
    ),
    -- Where it was when it was looked at, without credentials. Another place is another store.
    location TEXT NOT NULL CHECK (length(location) BETWEEN 1 AND 4096),
    -- What was found, as JSON.
    capabilities TEXT NOT NULL CHECK (json_valid(capabilities)),
    -- When it was looked at.
    checked_at TEXT NOT NULL CHECK (checked_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

-- How far the replica in a store is known to go. Not replicated itself.
CREATE TABLE replica_store (
    -- The store's name in the configuration.
    store TEXT NOT NULL PRIMARY KEY CHECK (
        length(store) BETWEEN 1 AND 31
        AND store NOT GLOB '*[^a-z0-9-]*'
    ),
    -- The number of the newest replica that the store is known to hold whole; 0 when it lost it.
    sequence INTEGER NOT NULL CHECK (sequence >= 0)
) STRICT, WITHOUT ROWID;

-- Where a backup lies belongs to the backup's cell.

CREATE TRIGGER replica_backup_copy_insert AFTER INSERT ON backup_copy
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_backup_copy_update AFTER UPDATE ON backup_copy
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_backup_copy_delete AFTER DELETE ON backup_copy
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
END;

-- Until now there was one store, and its name is `main`.
INSERT INTO backup_copy (backup_id, store, state, noted_at)
SELECT backup_id, 'main', 'complete', finished_at FROM backup;

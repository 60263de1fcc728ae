-- Incremental backups: which layers of indexes a backup needs, and how much of it others have stored.

-- Which backup needs which layer of an index. An index object that no row names here can be removed
-- from the store.
CREATE TABLE backup_layer (
    -- The backup.
    backup_id TEXT NOT NULL REFERENCES backup (backup_id),
    -- The backup that wrote the layer, itself or an earlier one. That one may be gone while others
    -- still use its layer: so this is a note, not a reference.
    written_by TEXT NOT NULL CHECK (written_by GLOB '????????T??????Z-??????'),
    PRIMARY KEY (backup_id, written_by)
) STRICT, WITHOUT ROWID;

-- Bytes that earlier backups stored and that this one refers to.
ALTER TABLE backup ADD COLUMN bytes_referenced INTEGER NOT NULL DEFAULT 0 CHECK (bytes_referenced >= 0);

-- Which layers a backup needs belongs to the backup's cell.

CREATE TRIGGER replica_backup_layer_insert AFTER INSERT ON backup_layer
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_backup_layer_update AFTER UPDATE ON backup_layer
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_backup_layer_delete AFTER DELETE ON backup_layer
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
END;

-- Until now a backup had an index of its own, if it had rows.
INSERT INTO backup_layer (backup_id, written_by)
SELECT backup_id, backup_id FROM backup WHERE kind <> 'schema-only';

-- Which erasure a tombstone is of, and which erased people backups still meet in their source.

-- The erasure that set it; nothing where an older strongroom erased several people at one moment.
ALTER TABLE tombstone ADD COLUMN erasure_id INTEGER REFERENCES erasure (erasure_id);

-- The snapshot of the newest backup that met her in the source; nothing if none did.
ALTER TABLE tombstone ADD COLUMN met_at TEXT CHECK (met_at GLOB '????-??-??T??:??:??.??????Z');

UPDATE tombstone SET erasure_id = (
    SELECT erasure_id FROM erasure WHERE requested_at = tombstone.erased_at
)
WHERE (SELECT count(*) FROM erasure WHERE requested_at = tombstone.erased_at) = 1;

-- Erased people whom a backup met in its source and left out, by erasure.
CREATE TABLE erasure_met (
    -- The backup.
    backup_id TEXT NOT NULL REFERENCES backup (backup_id),
    -- The erasure: one person's.
    erasure_id INTEGER NOT NULL REFERENCES erasure (erasure_id),
    -- Rows of hers that were left out.
    row_count INTEGER NOT NULL CHECK (row_count >= 1),
    PRIMARY KEY (backup_id, erasure_id)
) STRICT, WITHOUT ROWID;

-- Whom a backup met belongs to the backup's cell.

CREATE TRIGGER replica_erasure_met_insert AFTER INSERT ON erasure_met
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_erasure_met_update AFTER UPDATE ON erasure_met
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_erasure_met_delete AFTER DELETE ON erasure_met
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
END;

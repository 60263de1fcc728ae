-- The replica of this catalog in the store: what of it is there already, and what has changed since.
--
-- The catalog's rows are divided into cells, each written as a whole: the subjects of one shard, one
-- backup with its packs, 256 entries of the audit log, and so on; src/catalog/replica/cells.rs has
-- the table. Triggers record which cells have changed, so that no way of changing a row can pass
-- them by. Tables that no trigger watches belong to the cell `vault`, which is small: every sync
-- reads it and compares. The tables of this file describe this machine's part and are not replicated.

-- Cells that have changed since they were last taken up by a sync.
CREATE TABLE replica_dirty (
    -- The cell's name, such as `subject:7` or `backup:20261122T020000Z-3fa9c1`.
    cell TEXT NOT NULL PRIMARY KEY CHECK (length(cell) BETWEEN 1 AND 63)
) STRICT, WITHOUT ROWID;

-- Cells that a sync has taken up. They stay here until the replica that holds them is durable, so
-- that a crash loses none, and what changes meanwhile is marked anew in `replica_dirty`.
CREATE TABLE replica_taken (
    -- The cell's name.
    cell TEXT NOT NULL PRIMARY KEY CHECK (length(cell) BETWEEN 1 AND 63)
) STRICT, WITHOUT ROWID;

-- Data objects in the store that hold at least one cell of the newest replica, or of the pending one.
CREATE TABLE replica_object (
    -- The number of the sync that wrote it. Its key is the vault key `replica:<number, 10 digits>`.
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 1),
    -- Its name in the store.
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 900),
    -- Its length in bytes.
    bytes INTEGER NOT NULL CHECK (bytes >= 1)
) STRICT;

-- Where each cell lies in the store.
CREATE TABLE replica_cell (
    -- The cell's name.
    cell TEXT NOT NULL CHECK (length(cell) BETWEEN 1 AND 63),
    -- The number of the sync that wrote it. A number beyond `replica_state.sequence` is that of the
    -- pending replica.
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    -- The number of its first frame in the data object, from 0.
    frame INTEGER NOT NULL CHECK (frame >= 0),
    -- Where it begins in the data object, in bytes.
    start INTEGER NOT NULL CHECK (start >= 0),
    -- Its sealed length in bytes; 0 in a pending replica says that the cell has no rows any more.
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    -- SHA-256 of its sealed bytes.
    sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
    -- SHA-256 of its rows as they were sealed, to recognise a cell that has not really changed;
    -- nothing where it must be written again.
    content BLOB CHECK (length(content) = 32),
    PRIMARY KEY (cell, sequence)
) STRICT, WITHOUT ROWID;

CREATE INDEX replica_cell_by_sequence ON replica_cell (sequence);

-- How far the replica in the store is known to go.
CREATE TABLE replica_state (
    -- Always 1: there is one state.
    only INTEGER PRIMARY KEY CHECK (only = 1),
    -- The number of the newest replica that is known to be durable; 0 before the first.
    sequence INTEGER NOT NULL CHECK (sequence >= 0),
    -- The epoch under which its head is sealed.
    epoch INTEGER NOT NULL CHECK (epoch >= 0),
    -- SHA-256 of its head; nothing before the first.
    sha256 BLOB CHECK (length(sha256) = 32),
    -- The number of the replica whose head is about to be written, if one is.
    pending_sequence INTEGER CHECK (pending_sequence = sequence + 1),
    -- The epoch under which that head is sealed.
    pending_epoch INTEGER CHECK (pending_epoch >= 1),
    -- That head, sealed, so that after a crash the very same bytes are written.
    pending_head BLOB CHECK (length(pending_head) >= 1),
    CHECK ((sequence = 0) = (sha256 IS NULL)),
    CHECK ((pending_sequence IS NULL) = (pending_head IS NULL)),
    CHECK ((pending_sequence IS NULL) = (pending_epoch IS NULL))
) STRICT;

INSERT INTO replica_state (only, sequence, epoch) VALUES (1, 0, 0);

-- The numbers of replicas only go up, else another machine's would be taken for this one's.
CREATE TRIGGER replica_sequence_goes_forward BEFORE UPDATE OF sequence ON replica_state
WHEN NEW.sequence < OLD.sequence
BEGIN
    SELECT RAISE(ABORT, 'the number of the replica cannot go back');
END;

CREATE TRIGGER replica_state_is_kept BEFORE DELETE ON replica_state
BEGIN
    SELECT RAISE(ABORT, 'the state of the replica cannot be deleted');
END;

-- A mark is set by a condition and not by INSERT OR IGNORE: how the statement that fired the trigger
-- handles conflicts (an upsert, for one) would override that.

-- The subjects of a shard.

CREATE TRIGGER replica_subject_insert AFTER INSERT ON subject
BEGIN
    INSERT INTO replica_dirty SELECT 'subject:' || NEW.shard_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'subject:' || NEW.shard_id);
END;

CREATE TRIGGER replica_subject_update AFTER UPDATE ON subject
BEGIN
    INSERT INTO replica_dirty SELECT 'subject:' || OLD.shard_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'subject:' || OLD.shard_id);
    INSERT INTO replica_dirty SELECT 'subject:' || NEW.shard_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'subject:' || NEW.shard_id);
END;

CREATE TRIGGER replica_subject_delete AFTER DELETE ON subject
BEGIN
    INSERT INTO replica_dirty SELECT 'subject:' || OLD.shard_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'subject:' || OLD.shard_id);
END;

-- All shards together: a forgetting changes every one.

CREATE TRIGGER replica_shard_insert AFTER INSERT ON shard
BEGIN
    INSERT INTO replica_dirty SELECT 'shard'
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'shard');
END;

CREATE TRIGGER replica_shard_update AFTER UPDATE ON shard
BEGIN
    INSERT INTO replica_dirty SELECT 'shard'
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'shard');
END;

CREATE TRIGGER replica_shard_delete AFTER DELETE ON shard
BEGIN
    INSERT INTO replica_dirty SELECT 'shard'
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'shard');
END;

-- A backup, with the list of its packs.

CREATE TRIGGER replica_backup_insert AFTER INSERT ON backup
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_backup_update AFTER UPDATE ON backup
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_backup_delete AFTER DELETE ON backup
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
END;

CREATE TRIGGER replica_backup_pack_insert AFTER INSERT ON backup_pack
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_backup_pack_update AFTER UPDATE ON backup_pack
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
    INSERT INTO replica_dirty SELECT 'backup:' || NEW.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || NEW.backup_id);
END;

CREATE TRIGGER replica_backup_pack_delete AFTER DELETE ON backup_pack
BEGIN
    INSERT INTO replica_dirty SELECT 'backup:' || OLD.backup_id
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'backup:' || OLD.backup_id);
END;

-- Packs by the first byte of their identifiers.

CREATE TRIGGER replica_pack_insert AFTER INSERT ON pack
BEGIN
    INSERT INTO replica_dirty SELECT 'pack:' || lower(hex(substr(NEW.pack_id, 1, 1)))
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'pack:' || lower(hex(substr(NEW.pack_id, 1, 1))));
END;

CREATE TRIGGER replica_pack_update AFTER UPDATE ON pack
BEGIN
    INSERT INTO replica_dirty SELECT 'pack:' || lower(hex(substr(OLD.pack_id, 1, 1)))
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'pack:' || lower(hex(substr(OLD.pack_id, 1, 1))));
    INSERT INTO replica_dirty SELECT 'pack:' || lower(hex(substr(NEW.pack_id, 1, 1)))
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'pack:' || lower(hex(substr(NEW.pack_id, 1, 1))));
END;

CREATE TRIGGER replica_pack_delete AFTER DELETE ON pack
BEGIN
    INSERT INTO replica_dirty SELECT 'pack:' || lower(hex(substr(OLD.pack_id, 1, 1)))
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'pack:' || lower(hex(substr(OLD.pack_id, 1, 1))));
END;

-- A subject map.

CREATE TRIGGER replica_subject_map_insert AFTER INSERT ON subject_map
BEGIN
    INSERT INTO replica_dirty SELECT 'subject-map:' || NEW.map_number
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'subject-map:' || NEW.map_number);
END;

CREATE TRIGGER replica_subject_map_update AFTER UPDATE ON subject_map
BEGIN
    INSERT INTO replica_dirty SELECT 'subject-map:' || OLD.map_number
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'subject-map:' || OLD.map_number);
    INSERT INTO replica_dirty SELECT 'subject-map:' || NEW.map_number
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'subject-map:' || NEW.map_number);
END;

CREATE TRIGGER replica_subject_map_delete AFTER DELETE ON subject_map
BEGIN
    INSERT INTO replica_dirty SELECT 'subject-map:' || OLD.map_number
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'subject-map:' || OLD.map_number);
END;

-- Tombstones by the first byte of their MACs.

CREATE TRIGGER replica_tombstone_insert AFTER INSERT ON tombstone
BEGIN
    INSERT INTO replica_dirty SELECT 'tombstone:' || lower(hex(substr(NEW.mac, 1, 1)))
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'tombstone:' || lower(hex(substr(NEW.mac, 1, 1))));
END;

CREATE TRIGGER replica_tombstone_update AFTER UPDATE ON tombstone
BEGIN
    INSERT INTO replica_dirty SELECT 'tombstone:' || lower(hex(substr(OLD.mac, 1, 1)))
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'tombstone:' || lower(hex(substr(OLD.mac, 1, 1))));
    INSERT INTO replica_dirty SELECT 'tombstone:' || lower(hex(substr(NEW.mac, 1, 1)))
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'tombstone:' || lower(hex(substr(NEW.mac, 1, 1))));
END;

CREATE TRIGGER replica_tombstone_delete AFTER DELETE ON tombstone
BEGIN
    INSERT INTO replica_dirty SELECT 'tombstone:' || lower(hex(substr(OLD.mac, 1, 1)))
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'tombstone:' || lower(hex(substr(OLD.mac, 1, 1))));
END;

-- 256 erasures.

CREATE TRIGGER replica_erasure_insert AFTER INSERT ON erasure
BEGIN
    INSERT INTO replica_dirty SELECT 'erasure:' || (NEW.erasure_id / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'erasure:' || (NEW.erasure_id / 256));
END;

CREATE TRIGGER replica_erasure_update AFTER UPDATE ON erasure
BEGIN
    INSERT INTO replica_dirty SELECT 'erasure:' || (OLD.erasure_id / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'erasure:' || (OLD.erasure_id / 256));
    INSERT INTO replica_dirty SELECT 'erasure:' || (NEW.erasure_id / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'erasure:' || (NEW.erasure_id / 256));
END;

CREATE TRIGGER replica_erasure_delete AFTER DELETE ON erasure
BEGIN
    INSERT INTO replica_dirty SELECT 'erasure:' || (OLD.erasure_id / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'erasure:' || (OLD.erasure_id / 256));
END;

CREATE TRIGGER replica_erasure_proof_insert AFTER INSERT ON erasure_proof
BEGIN
    INSERT INTO replica_dirty SELECT 'erasure:' || (NEW.erasure_id / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'erasure:' || (NEW.erasure_id / 256));
END;

CREATE TRIGGER replica_erasure_proof_update AFTER UPDATE ON erasure_proof
BEGIN
    INSERT INTO replica_dirty SELECT 'erasure:' || (OLD.erasure_id / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'erasure:' || (OLD.erasure_id / 256));
    INSERT INTO replica_dirty SELECT 'erasure:' || (NEW.erasure_id / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'erasure:' || (NEW.erasure_id / 256));
END;

CREATE TRIGGER replica_erasure_proof_delete AFTER DELETE ON erasure_proof
BEGIN
    INSERT INTO replica_dirty SELECT 'erasure:' || (OLD.erasure_id / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'erasure:' || (OLD.erasure_id / 256));
END;

-- 256 epochs of the custodians' accounts.

CREATE TRIGGER replica_share_set_insert AFTER INSERT ON share_set
BEGIN
    INSERT INTO replica_dirty SELECT 'custody:' || (NEW.epoch / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'custody:' || (NEW.epoch / 256));
END;

CREATE TRIGGER replica_share_set_update AFTER UPDATE ON share_set
BEGIN
    INSERT INTO replica_dirty SELECT 'custody:' || (OLD.epoch / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'custody:' || (OLD.epoch / 256));
    INSERT INTO replica_dirty SELECT 'custody:' || (NEW.epoch / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'custody:' || (NEW.epoch / 256));
END;

CREATE TRIGGER replica_share_set_delete AFTER DELETE ON share_set
BEGIN
    INSERT INTO replica_dirty SELECT 'custody:' || (OLD.epoch / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'custody:' || (OLD.epoch / 256));
END;

CREATE TRIGGER replica_share_insert AFTER INSERT ON share
BEGIN
    INSERT INTO replica_dirty SELECT 'custody:' || (NEW.epoch / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'custody:' || (NEW.epoch / 256));
END;

CREATE TRIGGER replica_share_update AFTER UPDATE ON share
BEGIN
    INSERT INTO replica_dirty SELECT 'custody:' || (OLD.epoch / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'custody:' || (OLD.epoch / 256));
    INSERT INTO replica_dirty SELECT 'custody:' || (NEW.epoch / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'custody:' || (NEW.epoch / 256));
END;

CREATE TRIGGER replica_share_delete AFTER DELETE ON share
BEGIN
    INSERT INTO replica_dirty SELECT 'custody:' || (OLD.epoch / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'custody:' || (OLD.epoch / 256));
END;

-- 256 entries of the audit log, and its head.

CREATE TRIGGER replica_audit_entry_insert AFTER INSERT ON audit_entry
BEGIN
    INSERT INTO replica_dirty SELECT 'audit:' || (NEW.seq / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'audit:' || (NEW.seq / 256));
END;

CREATE TRIGGER replica_audit_entry_update AFTER UPDATE ON audit_entry
BEGIN
    INSERT INTO replica_dirty SELECT 'audit:' || (OLD.seq / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'audit:' || (OLD.seq / 256));
    INSERT INTO replica_dirty SELECT 'audit:' || (NEW.seq / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'audit:' || (NEW.seq / 256));
END;

CREATE TRIGGER replica_audit_entry_delete AFTER DELETE ON audit_entry
BEGIN
    INSERT INTO replica_dirty SELECT 'audit:' || (OLD.seq / 256)
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'audit:' || (OLD.seq / 256));
END;

CREATE TRIGGER replica_audit_head_insert AFTER INSERT ON audit_head
BEGIN
    INSERT INTO replica_dirty SELECT 'audit-head'
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'audit-head');
END;

CREATE TRIGGER replica_audit_head_update AFTER UPDATE ON audit_head
BEGIN
    INSERT INTO replica_dirty SELECT 'audit-head'
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'audit-head');
END;

CREATE TRIGGER replica_audit_head_delete AFTER DELETE ON audit_head
BEGIN
    INSERT INTO replica_dirty SELECT 'audit-head'
    WHERE NOT EXISTS (SELECT 1 FROM replica_dirty WHERE cell = 'audit-head');
END;

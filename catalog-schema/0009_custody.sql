-- Shares that come back after their destruction, and splittings of epochs that never began.
--
-- Both tables get one more word in a CHECK, for which SQLite needs them made again.

DROP INDEX share_set_by_state;

ALTER TABLE share RENAME TO share_before;

ALTER TABLE share_set RENAME TO share_set_before;

-- One splitting of one epoch secret into shares. The shares themselves are at the custodians only.
CREATE TABLE share_set (
    -- The splitting's identifier, drawn at random; sixteen zero bytes for secrets that were put
    -- whole, before there were shares.
    set_id BLOB NOT NULL CHECK (length(set_id) = 16),
    -- The epoch whose secret it is.
    epoch INTEGER NOT NULL CHECK (epoch >= 1),
    -- How many shares make the secret.
    threshold INTEGER NOT NULL CHECK (threshold BETWEEN 1 AND 255),
    -- `installing` until the epoch begins, `present` while it lasts, `leaving` from the moment on
    -- that its shares must go, `destroyed` when too few can be left to make the secret. `undone`
    -- for ever where its epoch never began under it: keys of the epoch before may have been wrapped
    -- under it in a transaction that was never completed, and stand in a write-ahead file. While it
    -- can be made, it counts as a secret of the epoch before.
    state TEXT NOT NULL CHECK (
        state IN ('installing', 'present', 'leaving', 'destroyed', 'undone')
    ),
    -- When it came into its state.
    changed_at TEXT NOT NULL CHECK (changed_at GLOB '????-??-??T??:??:??.??????Z'),
    PRIMARY KEY (epoch, set_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX share_set_by_state ON share_set (state);

-- One share at one custodian.
CREATE TABLE share (
    -- The epoch of its splitting.
    epoch INTEGER NOT NULL,
    -- Its splitting.
    set_id BLOB NOT NULL,
    -- The custodian's name in the configuration.
    custodian TEXT NOT NULL CHECK (
        length(custodian) BETWEEN 1 AND 31
        AND custodian NOT GLOB '*[^a-z0-9-]*'
    ),
    -- The share's number in the splitting.
    share_index INTEGER NOT NULL CHECK (share_index BETWEEN 1 AND 255),
    -- `asked` when the custodian was asked to keep it and nobody knows whether it does, `held` when
    -- it said so, `destroyed` when it is known not to have it any more, `returned` when it was found
    -- to have it again after that.
    state TEXT NOT NULL CHECK (state IN ('asked', 'held', 'destroyed', 'returned')),
    -- When it came into its state.
    changed_at TEXT NOT NULL CHECK (changed_at GLOB '????-??-??T??:??:??.??????Z'),
    PRIMARY KEY (epoch, set_id, custodian),
    FOREIGN KEY (epoch, set_id) REFERENCES share_set (epoch, set_id)
) STRICT, WITHOUT ROWID;

INSERT INTO share_set (set_id, epoch, threshold, state, changed_at)
SELECT set_id, epoch, threshold, state, changed_at FROM share_set_before;

INSERT INTO share (epoch, set_id, custodian, share_index, state, changed_at)
SELECT epoch, set_id, custodian, share_index, state, changed_at FROM share_before;

DROP TABLE share_before;

DROP TABLE share_set_before;

-- 256 epochs of the custodians' accounts belong to one cell of the replica.

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

-- Until now an undone splitting was called destroyed at once. Where its epoch has another one, or what
-- is left of it can still be put together, nothing else tells that it was one: taking it for undone
-- keeps an erasure provisional rather too long.
UPDATE share_set SET state = 'undone'
WHERE state = 'destroyed' AND (
    (SELECT count(*) FROM share_set AS other WHERE other.epoch = share_set.epoch) > 1
    OR epoch > (SELECT epoch FROM vault)
    OR (SELECT count(*) FROM share AS h
        WHERE h.epoch = share_set.epoch AND h.set_id = share_set.set_id
        AND h.state <> 'destroyed') >= threshold
);

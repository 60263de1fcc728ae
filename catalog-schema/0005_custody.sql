-- Who holds the epoch secrets and which of them must still be destroyed; what readmission and the
-- rotation of keys need; what an erasure's proof found.

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
    -- that its shares must go, `destroyed` when too few can be left to make the secret.
    state TEXT NOT NULL CHECK (state IN ('installing', 'present', 'leaving', 'destroyed')),
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
    -- it said so, `destroyed` when it is known not to have it any more.
    state TEXT NOT NULL CHECK (state IN ('asked', 'held', 'destroyed')),
    -- When it came into its state.
    changed_at TEXT NOT NULL CHECK (changed_at GLOB '????-??-??T??:??:??.??????Z'),
    PRIMARY KEY (epoch, set_id, custodian),
    FOREIGN KEY (epoch, set_id) REFERENCES share_set (epoch, set_id)
) STRICT, WITHOUT ROWID;

-- A vault from before this table has one custodian, and its secrets are whole.
INSERT INTO share_set (set_id, epoch, threshold, state, changed_at)
SELECT zeroblob(16), epoch, 1, 'present', created_at FROM vault;

INSERT INTO share (epoch, set_id, custodian, share_index, state, changed_at)
SELECT epoch, zeroblob(16), 'main', 1, 'held', created_at FROM vault;

-- What a crash interrupted in such a vault: the other secret of the forgetting that was under way.
INSERT INTO share_set (set_id, epoch, threshold, state, changed_at)
SELECT zeroblob(16), f.epoch_from, 1, 'leaving', f.begun_at
FROM forgetting AS f JOIN vault AS v ON v.epoch = f.epoch_to;

INSERT INTO share_set (set_id, epoch, threshold, state, changed_at)
SELECT zeroblob(16), f.epoch_to, 1, 'installing', f.begun_at
FROM forgetting AS f JOIN vault AS v ON v.epoch = f.epoch_from;

INSERT INTO share (epoch, set_id, custodian, share_index, state, changed_at)
SELECT epoch, set_id, 'main', 1, 'asked', changed_at FROM share_set WHERE state <> 'present';

-- The vault's epoch when the backup was made. What a backup of an earlier epoch holds of a person who
-- was readmitted since is forgotten. Backups from before this column were made before any readmission.
ALTER TABLE backup ADD COLUMN epoch INTEGER NOT NULL DEFAULT 1 CHECK (epoch >= 1);

-- The vault key that seals the backup's rows that are nobody's: `commons`, or after rotations
-- `commons:2` and so on.
ALTER TABLE backup ADD COLUMN commons_kind TEXT NOT NULL DEFAULT 'commons' CHECK (
    commons_kind GLOB 'commons' OR commons_kind GLOB 'commons:[1-9]*'
);

-- The epoch in which she was readmitted after an erasure; nothing if she never was.
ALTER TABLE subject ADD COLUMN readmitted_epoch INTEGER CHECK (readmitted_epoch >= 2);

-- What the negative test after an erasure found, once it has run. Figures only.
CREATE TABLE erasure_proof (
    -- The erasure.
    erasure_id INTEGER PRIMARY KEY REFERENCES erasure (erasure_id),
    -- When the test ran.
    proven_at TEXT NOT NULL CHECK (proven_at GLOB '????-??-??T??:??:??.??????Z'),
    -- Replicas of the catalog from before the erasure that were still in the store and were tried.
    replicas_tried INTEGER NOT NULL CHECK (replicas_tried >= 0),
    -- Backups that were tried: all that held rows of hers.
    backups_tried INTEGER NOT NULL CHECK (backups_tried >= 0),
    -- Segments of hers that were tried.
    segments_tried INTEGER NOT NULL CHECK (segments_tried >= 0),
    -- Those that opened. Anything but zero means that the erasure failed.
    segments_opened INTEGER NOT NULL CHECK (segments_opened BETWEEN 0 AND segments_tried),
    -- Segments of other people, one a backup where there is one, that had to open and did.
    bystanders_opened INTEGER NOT NULL CHECK (bystanders_opened >= 0)
) STRICT;

-- The step of a rotation of the master secret lies beside the catalog: the new master secret's file
-- has this digest, and takes the place of the old one when the new epoch has begun.
ALTER TABLE forgetting ADD COLUMN master_sha256 BLOB CHECK (length(master_sha256) = 32);

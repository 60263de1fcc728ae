-- What was forgotten, and a forgetting that is under way.

-- Proofs that a subject was erased, without her identity: enough to recognise her if the live
-- database still has her, not enough to list who was erased.
CREATE TABLE tombstone (
    -- HMAC of the subject's reference under the tombstone key of the quarter.
    mac BLOB NOT NULL PRIMARY KEY CHECK (length(mac) = 32),
    -- The quarter whose tombstone key made the MAC, `2026Q4`.
    quarter TEXT NOT NULL CHECK (quarter GLOB '[0-9][0-9][0-9][0-9]Q[1-4]'),
    -- The epoch that began with the erasure.
    epoch INTEGER NOT NULL CHECK (epoch >= 2),
    -- When the erasure was recorded.
    erased_at TEXT NOT NULL CHECK (erased_at GLOB '????-??-??T??:??:??.??????Z')
) STRICT, WITHOUT ROWID;

-- Erasures as the compliance officer lists them. Nothing here says who.
CREATE TABLE erasure (
    -- The erasure's number, from 1: what people call it by.
    erasure_id INTEGER PRIMARY KEY,
    -- When `erase` was asked for.
    requested_at TEXT NOT NULL CHECK (requested_at GLOB '????-??-??T??:??:??.??????Z'),
    -- When the previous epoch secret was destroyed at enough custodians; nothing while the erasure
    -- is provisional.
    confirmed_at TEXT CHECK (confirmed_at GLOB '????-??-??T??:??:??.??????Z'),
    -- The source in which the subject was.
    source_id BLOB NOT NULL REFERENCES source (source_id),
    -- The epoch whose secret had to be destroyed.
    epoch_before INTEGER NOT NULL CHECK (epoch_before >= 1),
    -- The epoch that took its place.
    epoch_after INTEGER NOT NULL CHECK (epoch_after = epoch_before + 1),
    -- The officer's reason, sealed.
    reason_sealed BLOB NOT NULL CHECK (length(reason_sealed) BETWEEN 28 AND 16384),
    -- Backups that held rows of the subject.
    backup_count INTEGER NOT NULL CHECK (backup_count >= 0),
    -- Segments that can no longer be opened.
    segment_count INTEGER NOT NULL CHECK (segment_count >= 0),
    -- Rows in those segments.
    row_count INTEGER NOT NULL CHECK (row_count >= 0),
    -- Subject keys that were destroyed: one, or one for each retention category.
    subject_key_count INTEGER NOT NULL CHECK (subject_key_count >= 1)
) STRICT;

CREATE INDEX erasure_by_epoch ON erasure (epoch_after);

-- The officer's record of erasures only grows.
CREATE TRIGGER erasure_is_kept BEFORE DELETE ON erasure
BEGIN
    SELECT RAISE(ABORT, 'an erasure cannot be deleted');
END;

-- The forgetting that is under way, if one is: after a crash, the next command recognises it by
-- this row and finishes or undoes it.
CREATE TABLE forgetting (
    -- Always 1: there is at most one forgetting at a time.
    only INTEGER PRIMARY KEY CHECK (only = 1),
    -- What is forgotten: the keys of subjects, of backups, or none (`rotation`).
    kind TEXT NOT NULL CHECK (kind IN ('erasure', 'expiry', 'rotation')),
    -- The epoch whose secret is to be destroyed.
    epoch_from INTEGER NOT NULL CHECK (epoch_from >= 1),
    -- The epoch that takes its place.
    epoch_to INTEGER NOT NULL CHECK (epoch_to = epoch_from + 1),
    -- When it began.
    begun_at TEXT NOT NULL CHECK (begun_at GLOB '????-??-??T??:??:??.??????Z'),
    -- The last step known to be durable, in the words of the operation.
    step TEXT NOT NULL CHECK (
        length(step) BETWEEN 1 AND 63
        AND step NOT GLOB '*[^a-z0-9-]*'
    )
) STRICT;

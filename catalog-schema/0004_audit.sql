-- The access log. Its entries are written once and chained; docs/audit.md has the exact bytes.

-- One access, or attempt at one. Never names a person other than the actor.
CREATE TABLE audit_entry (
    -- The entry's number: 1, 2, 3, without a gap.
    seq INTEGER PRIMARY KEY CHECK (seq >= 1),
    -- When it was written.
    at TEXT NOT NULL CHECK (at GLOB '????-??-??T??:??:??.??????Z'),
    -- Who acted: the account of the operating system, and who called `sudo` where that is known.
    actor TEXT NOT NULL CHECK (length(actor) BETWEEN 1 AND 200),
    -- The machine on which the command ran.
    host TEXT NOT NULL CHECK (length(host) BETWEEN 1 AND 200),
    -- What was done, one of a fixed list of names (docs/audit.md).
    action TEXT NOT NULL CHECK (
        length(action) BETWEEN 1 AND 31
        AND action NOT GLOB '*[^a-z-]*'
    ),
    -- What it was done to: a backup's id, a source's name, a subject reference, `vault`.
    object TEXT NOT NULL CHECK (length(object) BETWEEN 1 AND 200),
    -- How it went: `begun`, `done`, `failed`, `refused`.
    outcome TEXT NOT NULL CHECK (outcome IN ('begun', 'done', 'failed', 'refused')),
    -- Facts for machines as `name=value` pairs, or nothing. Free text is refused.
    detail TEXT CHECK (length(detail) BETWEEN 1 AND 500),
    -- The hash of the entry before; 32 zero bytes in the first entry.
    previous_hash BLOB NOT NULL CHECK (length(previous_hash) = 32),
    -- SHA-256 over previous_hash and every other column of the entry.
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Entries follow one another without a gap, whoever inserts them.
CREATE TRIGGER audit_entry_follows BEFORE INSERT ON audit_entry
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit_entry)
    OR NEW.previous_hash IS NOT coalesce(
        (SELECT hash FROM audit_entry ORDER BY seq DESC LIMIT 1),
        zeroblob(32)
    )
BEGIN
    SELECT RAISE(ABORT, 'an audit entry must follow the last one');
END;

-- Entries are never changed.
CREATE TRIGGER audit_entry_is_fixed BEFORE UPDATE ON audit_entry
BEGIN
    SELECT RAISE(ABORT, 'an audit entry cannot be changed');
END;

-- Entries are never taken away.
CREATE TRIGGER audit_entry_is_kept BEFORE DELETE ON audit_entry
BEGIN
    SELECT RAISE(ABORT, 'an audit entry cannot be deleted');
END;

-- The authenticated head of the log: how far it went when someone with the vault's key last looked.
CREATE TABLE audit_head (
    -- Always 1: there is one head.
    only INTEGER PRIMARY KEY CHECK (only = 1),
    -- The number of the last entry that the head covers.
    seq INTEGER NOT NULL CHECK (seq >= 1),
    -- That entry's hash.
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    -- HMAC of number and hash under a key of the vault, so that a cut tail is found.
    mac BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;

-- The head is moved, never taken away.
CREATE TRIGGER audit_head_is_kept BEFORE DELETE ON audit_head
BEGIN
    SELECT RAISE(ABORT, 'the head of the audit log cannot be deleted');
END;

-- The head moves forward only.
CREATE TRIGGER audit_head_goes_forward BEFORE UPDATE ON audit_head
WHEN NEW.seq < OLD.seq
BEGIN
    SELECT RAISE(ABORT, 'the head of the audit log cannot go back');
END;

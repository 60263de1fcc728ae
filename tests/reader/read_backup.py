#!/usr/bin/env python3
"""Reads a strongroom backup without strongroom, written from docs/format.md alone.

It is the insurance against losing the program, and the proof that the document is enough. It needs
Python 3.9 or later with the package `cryptography`, the tool `age` (or `rage`), and the package
`zstandard` or the tool `zstd`.

    age -d master.age > master.txt          # asks for the passphrase; or: age -d -i identity.txt
    read_backup.py --store STORE --catalog catalog.sqlite --master master.txt \\
        --epoch-secret custodian/epoch-1.secret --backup latest --to FOLDER
    shred -u master.txt

Without a catalog, its replica in the store does: leave out --catalog.

Each table becomes a file FOLDER/SCHEMA.TABLE.copy that COPY reads, in its text format, or in its binary
format where the manifest says `copy-binary` of it, its rows in an order of no meaning;
large objects become FOLDER/large-objects/OID, the schema archive FOLDER/schema.dump (for
pg_restore) and the manifest FOLDER/manifest.json. Subjects that were forgotten are listed by their
references in FOLDER/forgotten.txt. Ends with 0 if all else was read, 1 if anything is damaged, 2 if
it could not begin.
"""

import argparse
import hashlib
import hmac
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

sys.dont_write_bytecode = True
import columns  # noqa: E402
import kit  # noqa: E402
import shamir  # noqa: E402

RAW_BYTES_MAX = 2**30 + 2**21
COMMONS = bytes(16)


class Refused(Exception):
    """Stored bytes that a reader must refuse; `outcome` is the word of the test vectors."""

    def __init__(self, outcome, message):
        super().__init__(message)
        self.outcome = outcome


def malformed(message):
    return Refused("malformed", message)


# Section 2: primitives


def context(label, *fields):
    """A label and fields, each with its length before it; a number is eight bytes."""
    parts = [label.encode()]
    for field in fields:
        if isinstance(field, int):
            field = struct.pack(">Q", field)
        elif isinstance(field, str):
            field = field.encode()
        parts.append(field)
    return b"".join(struct.pack(">I", len(part)) + part for part in parts)


def hkdf(salt, ikm, info):
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(ikm)


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def aes_open(key, nonce, sealed, bound_to, what):
    try:
        return AESGCM(key).decrypt(nonce, sealed, bound_to)
    except (InvalidTag, ValueError):
        raise Refused("not-authentic", f"{what} does not authenticate") from None


def unwrap(key, bound_to, wrapped, what):
    return aes_open(key, wrapped[:12], wrapped[12:], bound_to, what)


def open_sealed(key, number, bound_to, sealed, what):
    return aes_open(key, bytes(4) + struct.pack(">Q", number), sealed, bound_to, what)


class Bytes:
    """Reads fields one after the other and never past the end."""

    def __init__(self, data, what):
        self.data, self.at, self.what = data, 0, what

    def take(self, length):
        if self.at + length > len(self.data):
            raise malformed(f"{self.what} ends too early")
        piece = self.data[self.at : self.at + length]
        self.at += length
        return piece

    def varint(self, bits=64):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            if shift > 0 and byte == 0:
                raise malformed(f"{self.what} has a number that is not in its shortest form")
            number |= (byte & 0x7F) << shift
            shift += 7
            if number >> bits:
                raise malformed(f"{self.what} has a number over {bits} bits")
            if byte < 0x80:
                return number

    def end(self):
        if self.at != len(self.data):
            raise malformed(f"{self.what} has bytes left over")


# Section 4: secret files


def secret_file(data, kind, vault, epoch=None):
    """The secret of a secret file, checked against the vault and the epoch."""
    try:
        lines = data.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise malformed("a secret file is not text") from None
    expected = [rf"strongroom {kind} v1", r"vault ([0-9a-f]{32})"]
    expected += [] if epoch is None else [r"epoch ([0-9]+)"]
    expected += [r"secret ([0-9a-f]{64})"]
    found = [re.fullmatch(pattern, line) for pattern, line in zip(expected, lines)]
    if len(lines) != len(expected) or not all(found):
        raise malformed(f"this is no secret file of the kind `{kind}`")
    if bytes.fromhex(found[1][1]) != vault:
        raise Refused("other-vault", f"the {kind} belongs to another vault")
    if epoch is not None and int(found[2][1]) != epoch:
        raise malformed(f"the {kind} is of epoch {found[2][1]}, the catalog at epoch {epoch}")
    return bytes.fromhex(found[-1][1])


# Section 5: the key tree


def epoch_share(data, vault, epoch):
    """One custodian's share, checked against the vault and the epoch."""
    try:
        share = shamir.read_share(data)
    except shamir.Refused as refused:
        raise Refused(refused.outcome, str(refused)) from None
    if bytes.fromhex(share["vault"]) != vault:
        raise Refused("other-vault", "the share belongs to another vault")
    if share["epoch"] != epoch:
        named = share["epoch"]
        raise malformed(f"the epoch secret is of epoch {named}, the catalog at epoch {epoch}")
    return share


def epoch_secret(texts, vault, epoch):
    """The epoch secret from the shares of as many custodians as are needed."""
    try:
        return shamir.epoch_secret([epoch_share(text, vault, epoch) for text in texts])
    except shamir.Refused as refused:
        raise Refused(refused.outcome, str(refused)) from None


def root_key(vault, epoch, epoch_secret, master):
    salt = vault + struct.pack(">Q", epoch)
    return hkdf(salt, epoch_secret + master, b"strongroom root v1")


def shard_key(root, vault, epoch, shard, wrapped):
    bound_to = context("strongroom wrap shard v1", vault, epoch, shard)
    return unwrap(root, bound_to, wrapped, f"the key of shard {shard}")


def wrapped_key(shard_key_, vault, shard, label, name, wrapped, what):
    return unwrap(shard_key_, context(label, vault, shard, name), wrapped, what)


def opened_root_key(vault, epoch, master_text, epoch_texts):
    """The root key of an epoch, from the master secret's file and the custodians' shares."""
    master = secret_file(master_text, "master secret", vault)
    secret = epoch_secret(epoch_texts, vault, epoch)
    return root_key(vault, epoch, secret, master)


class Keys:
    """The catalog's keys, opened as they are needed."""

    def __init__(self, catalog, master_text, epoch_texts):
        self.catalog = catalog
        self.vault, self.epoch = catalog.execute("SELECT vault_id, epoch FROM vault").fetchone()
        root = opened_root_key(self.vault, self.epoch, master_text, epoch_texts)
        self.shards = {
            shard: shard_key(root, self.vault, self.epoch, shard, wrapped)
            for shard, wrapped in catalog.execute("SELECT shard_id, wrapped_key FROM shard")
        }

    def _open(self, row, label, name, what):
        shard, wrapped = row
        return wrapped_key(self.shards[shard], self.vault, shard, label, name, wrapped, what)

    def vault_key(self, kind):
        row = self.catalog.execute(
            "SELECT shard_id, wrapped_key FROM vault_key WHERE kind = ?", (kind,)
        ).fetchone()
        return self._open(row, "strongroom wrap vault key v1", kind, f"the vault key `{kind}`")

    def identity(self, backup):
        row = self.catalog.execute(
            "SELECT shard_id, wrapped_key FROM backup WHERE backup_id = ?", (backup,)
        ).fetchone()
        return self._open(row, "strongroom wrap backup v1", backup, f"the key of {backup}").decode()

    def subject(self, reference, backup_epoch):
        """A subject's key, None if what a backup of that epoch holds of her was forgotten."""
        row = self.catalog.execute(
            "SELECT shard_id, wrapped_key, readmitted_epoch FROM subject WHERE reference = ?",
            (reference,),
        ).fetchone()
        if row is None or (row[2] is not None and row[2] > backup_epoch):
            return None
        what = f"the key of subject {reference.hex()}"
        return self._open(row[:2], "strongroom wrap subject v1", reference, what)


# Sections 12 and 13: age files


def age_open(identity, sealed, what):
    tool = shutil.which("age") or shutil.which("rage")
    if tool is None:
        sys.exit("the tool `age` is missing (on Debian: apt-get install age)")
    # The identity goes through a pipe, the ciphertext through another: neither touches a disk.
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as pipe:
        pipe.write(identity + "\n")
    try:
        opened = subprocess.run(
            [tool, "--decrypt", "-i", f"/dev/fd/{read_end}"],
            input=sealed,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[read_end],
            check=False,
        )
    finally:
        os.close(read_end)
    if opened.returncode != 0:
        raise Refused("not-authentic", f"{what} does not open")
    return opened.stdout


FIELDS = {
    "version": int, "written_by": str, "vault": str, "backup": str, "source": str,
    "source_name": str, "class": str, "contents": str, "note": (str, type(None)),
    "started_at": str, "snapshot_at": str, "schema": dict, "map": dict, "relations": list,
    "packs": list, "layers": list, "schema_archive": (dict, type(None)),
}  # fmt: skip
PACK = {"id": str, "bytes": int, "sha256": str, "used": int}
LAYER = {
    "backup": str, "bytes": int, "sha256": str, "directory_offset": int, "entries": int,
    "key": (str, type(None)),
}  # fmt: skip
# Of version 1
PACK_1 = {"id": str, "bytes": int, "sha256": str}
FIELDS_1 = {name: kind for name, kind in FIELDS.items() if name != "layers"}
FIELDS_1 |= {"index": (dict, type(None))}
RELATION = {
    "relation": (dict, str), "format": str, "rows": int, "segments": int, "subjects": int,
    "raw_bytes": int, "sealed_bytes": int, "rows_of_erased": int, "layout": (list, type(None)),
}  # fmt: skip
INDEX = {"bytes": int, "sha256": str, "directory_offset": int}
ARCHIVE = {"bytes": int, "sha256": str, "pg_dump_version": str}
MAP = {"digest": str, "toml": str}


def check_fields(found, expected, what):
    if not isinstance(found, dict) or set(found) - set(expected):
        raise malformed(f"{what} has fields that version 1 does not have")
    for name, kind in expected.items():
        optional = isinstance(kind, tuple) and type(None) in kind
        if name not in found and not optional:
            raise malformed(f"{what} lacks `{name}`")
        value = found.get(name)
        if not isinstance(value, kind) or (isinstance(value, int) and value < 0):
            raise malformed(f"{what}: `{name}` cannot be read")
        if name == "sha256" and not re.fullmatch("[0-9a-f]{64}", value):
            raise malformed(f"{what}: `{name}` is no digest")


def check_manifest(data, vault, backup):
    """The manifest as a dictionary, if it is the one asked for."""
    what = "the manifest"
    try:
        manifest = json.loads(data)
        version = manifest["version"]
    except (ValueError, KeyError, TypeError):
        raise malformed("this is no manifest") from None
    if version > 2:
        raise Refused("newer-format", f"{what} has version {version}")
    check_fields(manifest, FIELDS_1 if version == 1 else FIELDS, what)
    check_fields(manifest["map"], MAP, f"{what}'s map")
    for pack in manifest["packs"]:
        check_fields(pack, PACK_1 if version == 1 else PACK, f"{what}'s packs")
    for relation in manifest["relations"]:
        check_fields(relation, RELATION, f"{what}'s relations")
        check_rows(relation, version, what)
    if manifest.get("index"):
        check_fields(manifest["index"], INDEX, f"{what}'s index")
    if version == 2:
        check_layers(manifest, what)
    if manifest.get("schema_archive"):
        check_fields(manifest["schema_archive"], ARCHIVE, f"{what}'s schema archive")
    if not re.fullmatch(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}", manifest["backup"]):
        raise malformed(f"{what} has no backup id")
    if bytes.fromhex(manifest["vault"]) != vault:
        raise Refused("other-vault", f"{what} belongs to another vault")
    if manifest["backup"] != backup:
        raise Refused("other-backup", f"{what} belongs to another backup")
    return manifest


def check_rows(relation, version, what):
    row_format, layout = relation["format"], relation.get("layout")
    known = ("copy-text", "large-object-pieces", *["copy-binary"][: version - 1])
    if row_format not in known:
        raise malformed(f"{what}: a row format that is not known")
    if (row_format == "copy-binary") != (layout is not None):
        raise malformed(f"{what} has binary rows without a layout, or other rows with one")
    try:
        columns.check_layout(layout or [])
    except ValueError as error:
        raise malformed(f"{what}: {error}") from None


def check_layers(manifest, what):
    layers, packs = manifest["layers"], manifest["packs"]
    for layer in layers:
        check_fields(layer, LAYER, f"{what}'s layers")
        key, is_own = layer["key"], layer["backup"] == manifest["backup"]
        fits = key is None if is_own else re.fullmatch("[0-9a-f]{120}", key or "")
        if not fits or layer["directory_offset"] > layer["bytes"]:
            raise malformed(f"{what} has a layer that cannot be")
    for names in ([layer["backup"] for layer in layers], [pack["id"] for pack in packs]):
        if len(set(names)) < len(names):
            raise malformed(f"{what} lists an object twice")
    if len(layers) > 2 or (packs and not layers):
        raise malformed(f"{what} has another number of layers than there can be")


def name_parts(name):
    """Schema and table of `schema.table`, quotes taken off."""
    parts = re.fullmatch(r'("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^".]+)', name)
    if parts is None:
        raise malformed(f"`{name}` is no table's name")
    return [
        part[1:-1].replace('""', '"') if part.startswith('"') else part for part in parts.groups()
    ]


# Section 8 and 11: packs and the index


def check_header(header, magic, vault, own, length, what, expected=1, newest=1):
    if len(header) < length:
        raise malformed(f"{what} ends within its header")
    if header[:6] != magic:
        raise malformed(f"{what} begins with another magic")
    version = struct.unpack(">H", header[6:8])[0]
    if not 1 <= version <= newest:
        raise Refused("newer-format", f"{what} has version {version}")
    if version != expected:
        raise malformed(f"{what} has version {version}, and its manifest says {expected}")
    if header[8:24] != vault:
        raise Refused("other-vault", f"{what} belongs to another vault")
    if header[24:length] != own:
        outcomes = {b"SRINDX": "other-backup", b"SRDATA": "other-replica"}
        outcome = outcomes.get(magic, "malformed")
        raise Refused(outcome, f"{what} is another one under this name")


def check_pack_header(header, vault, pack):
    check_header(header, b"SRPACK", vault, pack, 40, f"the pack {pack.hex()}")


def check_index_header(header, vault, backup, version):
    what = f"the index of {backup}"
    check_header(header, b"SRINDX", vault, backup.encode(), 47, what, version, newest=2)


def index_key(identity):
    return hkdf(b"", identity.encode(), b"strongroom index key v1")


def layer_key(identity, vault, backup, layer, wrapped):
    """The key of a layer that another backup wrote."""
    bound_to = context("strongroom wrap index key v1", vault, backup, layer)
    return unwrap(index_key(identity), bound_to, wrapped, f"the key of the layer of {layer}")


def open_directory(key, vault, backup, sealed, version):
    """The pack ids of a layer (none of version 1) and the places of the blocks."""
    bound_to = context(f"strongroom index directory v{version}", vault, backup)
    what = f"the index's directory of {backup}"
    return parse_listing(open_sealed(key, 2**64 - 1, bound_to, sealed, what), version)


def parse_listing(plain, version):
    listing = Bytes(plain, "the index's directory")
    packs, places = [], []
    if version == 2:
        for _ in range(listing.varint()):
            packs.append(listing.take(16))
    for _ in range(listing.varint()):
        place = {"relation": listing.varint(32), "first": listing.take(16)}
        place["last"] = listing.take(16)
        for field in ("entries", "offset", "length"):
            place[field] = listing.varint()
        places.append(place)
    listing.end()
    return packs, places


def open_block(key, vault, backup, number, place, sealed, version):
    bound_to = context(f"strongroom index block v{version}", vault, backup, number)
    plain = open_sealed(key, number, bound_to, sealed, f"block {number} of the index of {backup}")
    relation, entries = (parse_block if version == 1 else parse_layer_block)(plain)
    is_placed = relation == place["relation"] and len(entries) == place["entries"] and entries
    if not is_placed or (entries[0]["reference"], entries[-1]["reference"]) != (
        place["first"],
        place["last"],
    ):
        raise malformed(f"block {number} of the index is not what the directory says")
    return entries


def parse_block(plain):
    block = Bytes(plain, "a block of the index")
    relation, count = block.varint(32), block.varint()
    entries = []
    for _ in range(count):
        entry = {"reference": block.take(16), "content_mac": block.take(32)}
        entry["codec"] = block.take(1)[0]
        if entry["codec"] not in (0, 1):
            raise malformed("an entry of the index has a codec that is not known")
        entry["pack"] = block.varint(32)
        for field in ("offset", "length", "rows", "raw_bytes"):
            entry[field] = block.varint()
        if entries and entries[-1]["reference"] > entry["reference"]:
            raise malformed("entries of the index are out of order")
        entries.append(entry)
    block.end()
    return relation, entries


CODEC, NO_ROWS, FOLLOWS, SAME = 7, 7, 8, 15
CODECS = (0, 1, 2)


def parse_layer_block(plain):
    """A block of a layer. A mark is an entry of the codec 7 without a segment."""
    block = Bytes(plain, "a block of the index")
    relation, count = block.varint(32), block.varint()
    entries, before, end = [], None, None
    for _ in range(count):
        flags = block.take(1)[0]
        shared, codec = flags >> 4, flags & CODEC
        if before is None and shared:
            raise malformed("the first entry of a block shares bytes with none")
        kept = before if shared == SAME else before[:shared] if before else b""
        reference = kept + block.take(16 - len(kept))
        if before is not None:
            same = len(os.path.commonprefix([before, reference]))
            if reference < before or shared != (SAME if same == 16 else min(same, 14)):
                raise malformed("a reference is out of order or not in its one form")
        is_mark = codec == NO_ROWS
        if shared == SAME and (is_mark or entries[-1]["codec"] == NO_ROWS):
            raise malformed("a mark is not the only entry of its subject")
        before, entry = reference, {"reference": reference, "codec": codec}
        entries.append(entry)
        if is_mark:
            if flags & FOLLOWS:
                raise malformed("a mark follows a segment")
            continue
        if codec not in CODECS:
            raise malformed("an entry of the index has a codec that is not known")
        entry["content_mac"] = block.take(32)
        if flags & FOLLOWS:
            if end is None or end[1] >= 2**64:
                raise malformed("a segment follows none")
            entry["pack"], entry["offset"] = end
        else:
            entry["pack"], entry["offset"] = block.varint(32), block.varint()
            if end == (entry["pack"], entry["offset"]):
                raise malformed("a segment follows, and does not say so")
        for field in ("length", "rows", "raw_bytes"):
            entry[field] = block.varint()
        end = entry["pack"], entry["offset"] + entry["length"]
    block.end()
    return relation, entries


# Section 9: segments


def segment_context(vault, source, relation, reference, codec, layout=None):
    if relation == "large-objects":
        fields = ("large objects", "", "")
    else:
        fields = ("table", *name_parts(relation["table"]))
    bound_to = (vault, source, *fields, reference, bytes([codec]))
    if codec == 2 and layout is not None:
        bound_to += (columns.digest(layout),)
    return context("strongroom segment v1", *bound_to)


def open_segment(key, bound_to, codec, content_mac, raw_bytes, sealed, what, layout=None, rows=None):
    """The rows of a segment: lines, or tuples if the relation has a layout."""
    if codec not in CODECS:
        raise malformed(f"{what} has a codec that is not known")
    mac_key = hkdf(b"", key, b"strongroom segment mac v1")
    segment_key = hkdf(content_mac, key, b"strongroom segment key v1" + bound_to)
    payload = open_sealed(segment_key, 0, bound_to, sealed, what)
    if not hmac.compare_digest(mac(mac_key, bound_to + payload), content_mac):
        raise Refused("not-authentic", f"{what} is not the one that the index names")
    if raw_bytes > RAW_BYTES_MAX:
        raise malformed(f"{what} claims to be longer than a segment can be")
    if (codec == 2) != (layout is not None):
        raise malformed(f"{what} has a codec that is not its relation's")
    if layout is not None:
        try:
            return columns.tuples(
                layout, payload, rows, raw_bytes, lambda frame, size: decompress(frame, size, what)
            )
        except ValueError as error:
            raise malformed(f"{what} cannot be read in columns: {error}") from None
    rows = payload if codec == 0 else decompress(payload, raw_bytes, what)
    if len(rows) != raw_bytes:
        raise malformed(f"{what} has another length than the index says")
    return rows


def decompress(payload, raw_bytes, what):
    failed = malformed(f"{what} does not decompress")
    try:
        import zstandard
    except ImportError:
        zstandard = None
    if zstandard:
        try:
            if zstandard.frame_content_size(payload) != raw_bytes:
                raise failed
            return zstandard.ZstdDecompressor().decompress(payload, max_output_size=raw_bytes)
        except zstandard.ZstdError:
            raise failed from None
    if not shutil.which("zstd"):
        sys.exit("neither the Python package `zstandard` nor the tool `zstd` is here")
    run = subprocess.run(
        ["zstd", "--decompress", "--quiet", "--stdout"],
        input=payload,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if run.returncode != 0:
        raise failed
    return run.stdout


# Section 19: the catalog's replica

PLAIN_BYTES_MAX = 2**28
HEAD = {"schema": int, "written_at": str, "previous": (str, type(None)), "objects": list, "cells": list}
DATA_OBJECT = {"sequence": int, "name": str, "bytes": int}
CELL = {"cell": str, "object": int, "frame": int, "offset": int, "length": int, "sha256": str}


def content_size(frame, what):
    """The content size that a Zstandard frame states (RFC 8878, section 3.1.1.1)."""
    if len(frame) < 6 or frame[:4] != b"\x28\xb5\x2f\xfd":
        raise malformed(f"{what} is not compressed")
    single, dictionary, flag = frame[4] >> 5 & 1, frame[4] & 3, frame[4] >> 6
    at = 5 + (1 - single) + (0, 1, 2, 4)[dictionary]
    length = (single, 2, 4, 8)[flag]
    if length == 0 or at + length > len(frame):
        raise malformed(f"{what} does not say how long it is")
    return int.from_bytes(frame[at : at + length], "little") + (256 if length == 2 else 0)


def decompress_sized(frame, what):
    size = content_size(frame, what)
    if size > PLAIN_BYTES_MAX:
        raise malformed(f"{what} claims to be longer than it can be")
    plain = decompress(frame, size, what) if size else b""
    if len(plain) != size:
        raise malformed(f"{what} has another length than it says")
    return plain


def check_head_header(data, vault, sequence):
    """Epoch and salt of the head of that number."""
    what = f"the head {sequence} of the catalog's replica"
    check_header(data, b"SRHEAD", vault, data[24:32], 32, what)
    if len(data) < 72:
        raise malformed(f"{what} ends within its header")
    epoch, found = struct.unpack(">QQ", data[24:40])
    if found != sequence:
        raise Refused("other-replica", f"{what} is another one under this name")
    return epoch, data[40:72]


def open_head(data, vault, sequence, root):
    """The list in a head, given the root key of its epoch."""
    what = f"the head {sequence} of the catalog's replica"
    epoch, salt = check_head_header(data, vault, sequence)
    key = hkdf(salt, root, context("strongroom replica key v1", vault, epoch, sequence))
    bound_to = context("strongroom replica head v1", data[:72])
    body = Bytes(open_sealed(key, 0, bound_to, data[72:], what), what)
    count = struct.unpack(">I", body.take(4))[0]
    keys = body.take(32 * count)
    try:
        head = json.loads(decompress_sized(body.data[body.at :], what))
    except ValueError:
        raise malformed(f"{what} cannot be read") from None
    check_head(head, what)
    if len(head["objects"]) != count:
        raise malformed(f"{what} has another number of keys than of data objects")
    return head, [keys[32 * number : 32 * (number + 1)] for number in range(count)]


def check_head(head, what):
    check_fields(head, HEAD, what)
    if "previous" not in head:
        raise malformed(f"{what} lacks `previous`")
    for one in head["objects"]:
        check_fields(one, DATA_OBJECT, what)
        is_named = re.fullmatch(f"catalog/data/{one['sequence']:010d}-[0-9a-f]{{8}}", one["name"])
        if not is_named:
            raise malformed(f"{what} lists a data object that cannot be")
    objects = {one["sequence"]: one["bytes"] for one in head["objects"]}
    taken = []
    for cell in head["cells"]:
        check_fields(cell, CELL, what)
        end = cell["offset"] + cell["length"]
        is_name = 1 <= len(cell["cell"].encode()) <= 63
        if not is_name or cell["length"] == 0 or end > objects.get(cell["object"], -1):
            raise malformed(f"{what} lists a cell that cannot be")
        taken.append((cell["object"], cell["offset"], end))
    taken.sort()
    overlap = any(one[0] == next[0] and one[2] > next[1] for one, next in zip(taken, taken[1:]))
    names = [cell["cell"].encode() for cell in head["cells"]]
    sequences = [one["sequence"] for one in head["objects"]]
    ascending = names == sorted(set(names)) and sequences == sorted(set(sequences))
    if overlap or not ascending:
        raise malformed(f"{what} has a list out of order, or cells that overlap")


def check_data_header(header, vault, sequence):
    own = struct.pack(">Q", sequence)
    check_header(header, b"SRDATA", vault, own, 32, f"the data object {sequence}")


def open_cell(key, vault, sequence, cell, frame, sha256, sealed):
    """The lines of a cell, given the bytes at its place."""
    what = f"the cell `{cell}` of data object {sequence}"
    if hashlib.sha256(sealed).hexdigest() != sha256:
        raise Refused("not-authentic", f"{what} is not what the head says")
    frames, lines = Bytes(sealed, what), []
    while frames.at < len(sealed):
        length = struct.unpack(">I", frames.take(4))[0]
        bound_to = context("strongroom replica frame v1", vault, sequence, cell, frame)
        opened = open_sealed(key, frame, bound_to, frames.take(length), what)
        lines.append(decompress_sized(opened, what))
        frame += 1
    return b"".join(lines)


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def add_rows(catalog, text):
    """Puts the rows of a cell into a database."""
    for line in text.decode().split("\n")[:-1]:
        value = json.loads(line)
        if isinstance(value, dict):
            table, columns = quoted(value["table"]), value["columns"]
            names = ", ".join(quoted(name) for name, _ in columns)
            catalog.execute(f"CREATE TABLE IF NOT EXISTS {table} ({names})")
            insert = f"INSERT INTO {table} VALUES ({', '.join('?' for _ in columns)})"
        else:
            is_blob = [kind == "BLOB" and one is not None for one, (_, kind) in zip(value, columns)]
            row = [bytes.fromhex(one) if blob else one for one, blob in zip(value, is_blob)]
            catalog.execute(insert, row)


def newest_head(store):
    heads = (store / "catalog/head").glob("*")
    numbers = [int(head.name) for head in heads if re.fullmatch("[0-9]{10,}", head.name)]
    if not numbers:
        raise malformed("the store holds no replica of the catalog")
    return max(numbers)


def catalog_from_replica(store, master_text, epoch_texts):
    """The catalog as the newest replica in the store has it, in memory."""
    vault = bytes.fromhex(json.loads((store / "strongroom-vault.json").read_text())["vault"])
    sequence = newest_head(store)
    data = (store / f"catalog/head/{sequence:010d}").read_bytes()
    epoch, _ = check_head_header(data, vault, sequence)
    root = opened_root_key(vault, epoch, master_text, epoch_texts)
    head, keys = open_head(data, vault, sequence, root)
    catalog = sqlite3.connect(":memory:")
    objects = {one["sequence"]: (one, key) for one, key in zip(head["objects"], keys)}
    for cell in head["cells"]:
        one, key = objects[cell["object"]]
        with (store / one["name"]).open("rb") as file:
            check_data_header(file.read(32), vault, one["sequence"])
            file.seek(cell["offset"])
            sealed = file.read(cell["length"])
        place = one["sequence"], cell["cell"], cell["frame"], cell["sha256"]
        add_rows(catalog, open_cell(key, vault, *place, sealed))
    # A table without rows is in no cell.
    catalog.execute(
        "CREATE TABLE IF NOT EXISTS subject (reference, shard_id, wrapped_key, readmitted_epoch)"
    )
    catalog.execute(
        "CREATE TABLE IF NOT EXISTS backup (backup_id, manifest_name, manifest_sha256, shard_id,"
        " wrapped_key, epoch, commons_kind)"
    )
    catalog.execute("CREATE UNIQUE INDEX subject_by_reference ON subject (reference)")
    return catalog


# Section 15: reading a backup


class Backup:
    """A backup in a store, its manifest and index authenticated."""

    def __init__(self, store, keys, row):
        self.store, self.keys = store, keys
        self.id, manifest_name, manifest_sha256, self.epoch, commons_kind = row
        self.commons = keys.vault_key(commons_kind)
        self.identity = keys.identity(self.id)
        sealed = (store / manifest_name).read_bytes()
        if hashlib.sha256(sealed).digest() != manifest_sha256:
            raise Refused("not-authentic", "the manifest is not the one that the catalog recorded")
        opened = age_open(self.identity, sealed, "the manifest")
        self.manifest = check_manifest(opened, keys.vault, self.id)
        self.source = bytes.fromhex(self.manifest["source"])
        self.files = {}

    def objects(self):
        """Every object but the manifest: its path, and its length and digest in the manifest."""
        folder = self.store / "backups" / self.id
        if self.manifest.get("schema_archive"):
            yield folder / "schema.age", self.manifest["schema_archive"]
        for layer in self.layers():
            yield self.layer_path(layer), layer
        for pack in self.manifest["packs"]:
            yield self.pack_path(pack["id"]), pack

    def layers(self):
        """The layers of the index; an index of version 1 is the backup's only layer."""
        if self.manifest["version"] == 1:
            index = self.manifest.get("index")
            return [index | {"backup": self.id, "key": None}] if index else []
        return self.manifest["layers"]

    def layer_path(self, layer):
        return self.store / "backups" / layer["backup"] / "index"

    def pack_path(self, pack):
        return self.store / "packs" / pack[:2] / f"{pack}.pack"

    def damaged_objects(self):
        for path, expected in self.objects():
            try:
                digest, length = hashlib.sha256(), 0
                with path.open("rb") as file:
                    while piece := file.read(1 << 20):
                        digest.update(piece)
                        length += len(piece)
            except OSError as error:
                yield f"{path}: {error.strerror}"
                continue
            if (length, digest.hexdigest()) != (expected["bytes"], expected["sha256"]):
                yield f"{path}: it is not what was written"

    def schema_archive(self):
        if not self.manifest.get("schema_archive"):
            return None
        sealed = (self.store / "backups" / self.id / "schema.age").read_bytes()
        return age_open(self.identity, sealed, "the schema archive")

    def entries(self):
        """Every index entry that counts, with the number of its relation and its pack's id."""
        layers = [list(self.layer_entries(layer)) for layer in self.layers()]
        upper = layers[1] if len(layers) == 2 else []
        replaced = {(relation, entry["reference"]) for relation, entry in upper}
        for relation, entry in layers[0] if layers else []:
            if entry["codec"] == NO_ROWS:
                raise malformed("the lowest layer of the index has a mark")
            if (relation, entry["reference"]) not in replaced:
                yield relation, entry
        yield from (one for one in upper if one[1]["codec"] != NO_ROWS)

    def layer_entries(self, layer):
        vault, version = self.keys.vault, self.manifest["version"]
        if layer["key"] is None:
            key = index_key(self.identity)
        else:
            wrapped = bytes.fromhex(layer["key"])
            key = layer_key(self.identity, vault, self.id, layer["backup"], wrapped)
        with self.layer_path(layer).open("rb") as index:
            check_index_header(index.read(47), vault, layer["backup"], version)
            index.seek(layer["directory_offset"])
            packs, places = open_directory(key, vault, layer["backup"], index.read(), version)
            if version == 1:
                packs = [bytes.fromhex(pack["id"]) for pack in self.manifest["packs"]]
            for number, place in enumerate(places):
                index.seek(place["offset"])
                sealed = index.read(place["length"])
                found = open_block(key, vault, layer["backup"], number, place, sealed, version)
                for entry in found:
                    number = entry.get("pack", 0)
                    entry["pack"] = packs[number].hex() if number < len(packs) else None
                    yield place["relation"], entry

    def segment(self, summary, entry):
        """The rows of an entry, None if its subject was forgotten."""
        if entry["reference"] == COMMONS:
            key = self.commons
        else:
            key = self.keys.subject(entry["reference"], self.epoch)
        if key is None:
            return None
        pack = entry["pack"]
        if pack not in {one["id"] for one in self.manifest["packs"]}:
            raise malformed("the index names a pack that the manifest does not list")
        what = f"a segment at {entry['offset']} in pack {pack}"
        file = self.files.get(pack)
        if file is None:
            file = self.files[pack] = self.pack_path(pack).open("rb")
            check_pack_header(file.read(40), self.keys.vault, bytes.fromhex(pack))
        file.seek(entry["offset"])
        sealed = file.read(entry["length"]) if entry["length"] <= RAW_BYTES_MAX else b""
        codec, layout = entry["codec"], summary.get("layout")
        bound_to = segment_context(
            self.keys.vault, self.source, summary["relation"], entry["reference"], codec, layout
        )
        rows = open_segment(
            key, bound_to, codec, entry["content_mac"], entry["raw_bytes"], sealed, what,
            layout, entry["rows"],
        )  # fmt: skip
        if layout is None and (rows.count(b"\n") != entry["rows"] or not rows.endswith(b"\n")):
            raise malformed(f"{what} holds another number of rows")
        return rows


class Folder:
    """Where rows go."""

    def __init__(self, folder):
        self.folder, self.files = folder, {}
        folder.mkdir(parents=True, mode=0o700)

    def write(self, name, contents):
        (self.folder / name).write_bytes(contents)

    def table(self, name):
        if name not in self.files:
            self.files[name] = (self.folder / f"{safe(name)}.copy").open("xb")
        return self.files[name]

    def large_object_lines(self, lines):
        folder = self.folder / "large-objects"
        folder.mkdir(exist_ok=True)
        for line in lines.splitlines():
            oid, what, value = line.decode().split("\t")
            path = folder / str(int(oid))
            if what == "m":
                path.touch()
                path.with_suffix(".json").write_text(value + "\n")
            else:
                with path.open("r+b" if path.exists() else "w+b") as file:
                    file.seek(int(what))
                    file.write(bytes.fromhex(value))


def safe(name):
    """A table's name as a file's name."""
    return re.sub(r"[/\x00-\x1f%]", lambda found: f"%{ord(found[0]):02x}", name)


def read(backup, folder):
    """Writes everything that opens; returns what is wrong, a sentence each."""
    problems = list(backup.damaged_objects())
    folder.write("manifest.json", json.dumps(backup.manifest, indent=2).encode())
    try:
        archive = backup.schema_archive()
        if archive is not None:
            folder.write("schema.dump", archive)
    except (Refused, OSError) as error:
        problems.append(str(error))

    relations = backup.manifest["relations"]
    counts = [{"rows": 0, "forgotten": 0, "damaged": 0} for _ in relations]
    forgotten = set()
    binary = []
    for relation in relations:
        if relation["relation"] != "large-objects":
            file = folder.table(relation["relation"]["table"])
            if relation["format"] == "copy-binary":
                binary.append(file)
                file.write(columns.HEADER)
    try:
        for number, entry in backup.entries():
            relation, count = relations[number]["relation"], counts[number]
            try:
                rows = backup.segment(relations[number], entry)
            except (Refused, OSError) as error:
                count["damaged"] += entry["rows"]
                problems.append(str(error))
                continue
            if rows is None:
                count["forgotten"] += entry["rows"]
                forgotten.add(entry["reference"].hex())
                continue
            count["rows"] += entry["rows"]
            if relation == "large-objects":
                folder.large_object_lines(rows)
            else:
                folder.table(relation["table"]).write(rows)
    except (Refused, OSError) as error:
        problems.append(str(error))
    for file in binary:
        file.write(columns.TRAILER)

    for relation, count in zip(relations, counts):
        name = relation["relation"]
        name = name if isinstance(name, str) else name["table"]
        print(f"{name}: {count['rows']} rows, {count['forgotten']} of forgotten subjects")
        if sum(count.values()) != relation["rows"]:
            problems.append(f"{name}: {sum(count.values())} rows found of {relation['rows']}")
    folder.write("forgotten.txt", "".join(f"{one}\n" for one in sorted(forgotten)).encode())
    print(f"{len(forgotten)} subjects cannot be opened: they were forgotten")
    return problems


def choose(catalog, selector, source):
    names = dict(catalog.execute("SELECT source_id, name FROM source").fetchall())
    rows = catalog.execute(
        "SELECT backup_id, manifest_name, manifest_sha256, epoch, commons_kind, source_id"
        " FROM backup ORDER BY snapshot_at, backup_id"
    ).fetchall()
    if source is not None:
        rows = [row for row in rows if names.get(row[5]) == source]
    if selector == "latest" and len({row[5] for row in rows}) > 1:
        several = ", ".join(sorted(names.values()))
        sys.exit(f"there are backups of several sources ({several}); say of which with --source")
    if selector != "latest":
        rows = [row for row in rows if row[0].startswith(selector)]
        if len(rows) > 1:
            sys.exit(f"`{selector}` fits {len(rows)} backups")
    if not rows:
        sys.exit(f"no backup fits `{selector}`")
    return rows[-1][:5]


def master_text(arguments):
    """The master secret's text, from its file or from the recovery kit."""
    if arguments.master:
        return arguments.master.read_bytes()
    try:
        vault, secret = kit.master_secret(arguments.kit.read_bytes())
    except ValueError as error:
        raise malformed(str(error)) from None
    return f"strongroom master secret v1\nvault {vault.hex()}\nsecret {secret.hex()}\n".encode()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", type=Path, required=True, help="the store's folder")
    parser.add_argument("--catalog", type=Path, help="the catalog's file; else its replica is read")
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--master", type=Path, help="what `age -d` made of master.age")
    secret.add_argument("--kit", type=Path, help="the text of the recovery kit, instead")
    parser.add_argument(
        "--epoch-secret", type=Path, required=True, nargs="+", metavar="SHARE",
        help="epoch-N.secret of a custodian, or of as many as are needed",
    )  # fmt: skip
    parser.add_argument("--backup", default="latest", help="an id, its beginning, or `latest`")
    parser.add_argument("--source", help="the name of the source, where there are several")
    parser.add_argument("--to", type=Path, required=True, help="a folder that does not exist yet")
    arguments = parser.parse_args()

    try:
        master = master_text(arguments)
        shares = [file.read_bytes() for file in arguments.epoch_secret]
        if arguments.catalog:
            catalog = sqlite3.connect(f"file:{arguments.catalog}?mode=ro", uri=True)
        else:
            catalog = catalog_from_replica(arguments.store, master, shares)
        keys = Keys(catalog, master, shares)
        backup = Backup(arguments.store, keys, choose(catalog, arguments.backup, arguments.source))
        folder = Folder(arguments.to)
    except (Refused, OSError, sqlite3.Error) as error:
        print(f"cannot begin: {error}", file=sys.stderr)
        return 2
    problems = read(backup, folder)
    for problem in problems:
        print(f"damaged: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

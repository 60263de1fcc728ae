#!/usr/bin/env python3
"""Holds read_backup.py to the test vectors under tests/vectors.

Kinds that a reader of backups does not need (notes, subject references, tombstones) are checked from
the primitives. Vectors that need `age` are skipped where it is missing. Ends with 0 if every outcome
is the one that the vector says.
"""

import json
import shutil
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import read_backup as reader  # noqa: E402


def parse(path):
    head, body = path.read_text().split("\n\n", 1)
    header = dict(line.split(": ", 1) for line in head.splitlines() if not line.startswith("# "))
    return header, bytes.fromhex("".join(body.split()))


def of(header, name):
    return bytes.fromhex(header[name])


def expect(header, name, found):
    assert header.get(name, found.hex()) == found.hex(), "it opened to something else"


def segment(header, data):
    relation, codec = json.loads(header["relation"]), int(header["codec"])
    if codec > 2:
        raise reader.malformed("unknown codec")
    layout = json.loads(header["layout"]) if "layout" in header else None
    bound_to = reader.segment_context(
        of(header, "vault"), of(header, "source"), relation, of(header, "reference"), codec, layout
    )
    rows = reader.open_segment(
        of(header, "subject-key"), bound_to, codec, of(header, "content-mac"),
        int(header["raw-bytes"]), data, "the segment", layout, int(header.get("rows", 0)),
    )  # fmt: skip
    expect(header, "plain", rows)


def columns(header, data):
    def decompress(frame, size):
        return reader.decompress(frame, size, "the payload")

    layout, rows = json.loads(header["layout"]), int(header["rows"])
    try:
        reader.columns.check_layout(layout)
        found = reader.columns.tuples(layout, data, rows, int(header["raw-bytes"]), decompress)
    except ValueError as error:
        raise reader.malformed(str(error)) from None
    expect(header, "plain", found)


def version(header):
    return 2 if header["kind"].startswith("layer-") else 1


def index_block(header, data):
    place = {"relation": int(header["relation"]), "entries": int(header["entries"])}
    place |= {"first": of(header, "first"), "last": of(header, "last")}
    key = reader.index_key(header["identity"])
    vault, backup = of(header, "vault"), header["backup"]
    reader.open_block(key, vault, backup, int(header["number"]), place, data, version(header))


def index_directory(header, data):
    key = reader.index_key(header["identity"])
    reader.open_directory(key, of(header, "vault"), header["backup"], data, version(header))


def layer_key(header, data):
    vault, user, layer = of(header, "vault"), header["backup"], header["layer"]
    expect(header, "secret", reader.layer_key(header["identity"], vault, user, layer, data))


def manifest(header, data):
    opened = reader.age_open(header["identity"], data, "the manifest")
    reader.check_manifest(opened, of(header, "vault"), header["backup"])


def age_file(header, data):
    expect(header, "plain", reader.age_open(header["identity"], data, "the age file"))


def wrapped_key(header, data):
    vault, epoch, shard = of(header, "vault"), int(header["epoch"]), int(header["shard"])
    root = reader.root_key(vault, epoch, of(header, "epoch-secret"), of(header, "master"))
    shard_key = reader.shard_key(root, vault, epoch, shard, of(header, "shard-key"))
    kind, name = header["key"].split(" ", 1)
    label = {"subject": "subject", "backup": "backup", "vault": "vault key"}[kind]
    name = bytes.fromhex(name) if kind == "subject" else name
    key = reader.wrapped_key(
        shard_key, vault, shard, f"strongroom wrap {label} v1", name, data, "the key"
    )
    expect(header, "secret", key)


def epoch_share(header, data):
    share = reader.epoch_share(data, of(header, "vault"), int(header["file-epoch"]))
    for name in ("set", "threshold", "index"):
        assert str(share[name]) == header.get(name, str(share[name])), f"another {name}"
    expect(header, "secret", share["share"])


def epoch_quorum(header, data):
    texts = [b"strongroom epoch" + text for text in data.split(b"strongroom epoch")[1:]]
    epoch = int(header["file-epoch"])
    expect(header, "secret", reader.epoch_secret(texts, of(header, "vault"), epoch))


def master_secret(header, data):
    if "passphrase" in header:
        # age asks a terminal for a passphrase, so this is for a person to try.
        raise Skipped
    if not data.startswith(b"age-encryption.org/v1\n"):
        raise reader.malformed("this is no age file")
    try:
        opened = reader.age_open(header["identity"], data, "the master secret")
    except reader.Refused as refused:
        raise reader.malformed(str(refused)) from None
    expect(header, "secret", reader.secret_file(opened, "master secret", of(header, "vault")))


def note(header, data):
    key = reader.hkdf(b"", of(header, "commons-key"), b"strongroom note key v1")
    bound_to = reader.context(header["label"], of(header, "vault"), of(header, "id"))
    expect(header, "text", reader.unwrap(key, bound_to, data, "the note"))


def same(one, other):
    if one != other:
        raise reader.Refused("differs", "they differ")


def subject_reference(header, data):
    parts = json.loads(header["key-parts"])
    if len(parts) > 1:
        parts = [part.replace("\\", "\\\\").replace(",", "\\,") for part in parts]
    bound_to = reader.context(
        "strongroom subject reference v1", of(header, "source"), header["class"], ",".join(parts)
    )
    same(reader.mac(of(header, "index-key"), bound_to)[:16], data)


def tombstone(header, data):
    bound_to = reader.context("strongroom tombstone v1", of(header, "reference"))
    same(reader.mac(of(header, "tombstone-key"), bound_to), data)


def replica_head(header, data):
    vault, sequence = of(header, "vault"), int(header["sequence"])
    epoch, _ = reader.check_head_header(data, vault, sequence)
    root = reader.root_key(vault, epoch, of(header, "epoch-secret"), of(header, "master"))
    head, keys = reader.open_head(data, vault, sequence, root)
    expect(header, "keys", b"".join(keys))
    if "plain" in header:
        assert head == json.loads(of(header, "plain")), "it opened to something else"


def replica_data(header, data):
    reader.check_data_header(data, of(header, "vault"), int(header["sequence"]))


def replica_cell(header, data):
    lines = reader.open_cell(
        of(header, "object-key"), of(header, "vault"), int(header["sequence"]), header["cell"],
        int(header["frame"]), header["sha256"], data,
    )  # fmt: skip
    expect(header, "plain", lines)


class Skipped(Exception):
    """This machine cannot try the vector."""


KINDS = {
    "segment": segment,
    "columns": columns,
    "pack-header": lambda header, data: reader.check_pack_header(
        data, of(header, "vault"), of(header, "pack")
    ),
    "index-header": lambda header, data: reader.check_index_header(
        data, of(header, "vault"), header["backup"], 1
    ),
    "index-directory": index_directory,
    "index-listing": lambda header, data: reader.parse_listing(data, 1),
    "index-block": index_block,
    "index-entries": lambda header, data: reader.parse_block(data),
    "layer-header": lambda header, data: reader.check_index_header(
        data, of(header, "vault"), header["backup"], 2
    ),
    "layer-directory": index_directory,
    "layer-listing": lambda header, data: reader.parse_listing(data, 2),
    "layer-block": index_block,
    "layer-entries": lambda header, data: reader.parse_layer_block(data),
    "layer-key": layer_key,
    "manifest": manifest,
    "manifest-2": manifest,
    "age-file": age_file,
    "wrapped-key": wrapped_key,
    "epoch-secret": epoch_share,
    "epoch-share": epoch_share,
    "epoch-quorum": epoch_quorum,
    "master-secret": master_secret,
    "note": note,
    "subject-reference": subject_reference,
    "tombstone": tombstone,
    "replica-head": replica_head,
    "replica-data": replica_data,
    "replica-cell": replica_cell,
}
NEED_AGE = {"manifest", "manifest-2", "age-file", "master-secret"}


def main():
    has_age = bool(shutil.which("age") or shutil.which("rage"))
    checked = skipped = wrong = 0
    for path in sorted((Path(__file__).parent.parent / "vectors").glob("*/*.txt")):
        header, data = parse(path)
        if header["kind"] in NEED_AGE and not has_age:
            skipped += 1
            continue
        try:
            KINDS[header["kind"]](header, data)
            found = "opens"
        except reader.Refused as refused:
            found = refused.outcome
        except Skipped:
            skipped += 1
            continue
        checked += 1
        if found != header["outcome"]:
            wrong += 1
            print(f"{path.parent.name}/{path.stem}: {header['outcome']} expected, {found} found")
    print(f"{checked} vectors checked, {wrong} wrong, {skipped} skipped")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main())

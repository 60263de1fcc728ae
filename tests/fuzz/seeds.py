#!/usr/bin/env python3
"""Writes the first inputs of the fuzz targets: python3 seeds.py CORPUS

What the vectors of the stored format hold, right and wrong alike, and a few texts."""

import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors"

# Vectors' kinds, by the target that reads the like.
KINDS = {
    "index_block": ["index-entries"],
    "index_listing": ["index-listing"],
    "layer_block": ["layer-entries"],
    "layer_listing": ["layer-listing"],
    "layer_key": ["layer-key"],
    "index_seal": ["index-block", "index-directory", "layer-block", "layer-directory"],
    "headers": ["index-header", "layer-header", "pack-header"],
    "age_file": ["age-file", "master-secret"],
    "secret_file": ["epoch-secret", "epoch-share"],
    "segment": ["segment"],
    "replica_head": ["replica-head"],
    "replica_cell": ["replica-cell", "replica-data"],
}
# The example in the map's own document.
MAP = (HERE.parents[1] / "docs/subject-map.md").read_text().split("```toml\n")[1].split("```")[0]
KIT = (HERE.parents[1] / "docs/recovery-kit.md").read_text().split("\n\n")[2]
TEXTS = {
    "connection_url": [
        "postgres://u:p@h:1/d?sslmode=require", "host=/tmp port=5433 user='a b' dbname=x",
        "postgresql://[::1]:5432,h2/%C3%A4?target_session_attrs=read-write",
    ],
    "names": [
        "20261122T020000Z-3fa9c1", "packs/51/5152.pack", 'app."Büro & Co"', '"a""b".c',
        "0102030405060708090a0b0c0d0e0f10", "Users",
    ],
    "vault_marker": [
        '{"what":"strongroom vault","format_version":1,"vault":"0102030405060708090a0b0c0d0e0f10"}'
    ],
    "large_object_piece": [
        "900001\t0\t00ff", "16\t2048\t",
        '7\tm\t{"oid":7,"owner":"postgres","privileges":null,"comment":"it\'s"}',
    ],
    "copy_lines": ["\x03a\\tb\t1\t\\N\n\\N\tx\n", "\x01a\\\\,b\\,c,d\n"],
    "config": [
        'catalog = "catalog.sqlite"\nmaster = "master.age"\nmaps = "maps"\n[store]\nurl = "store"\n'
        '[[custodian]]\nkind = "file"\npath = "custodian"\n[backup]\njobs = 4\nmemory_mib = 128\n',
        'store.url = "s"\n[[custodian]]\nname = "a"\nkind = "command"\nprogram = ["./p", "x"]\n'
        'timeout_seconds = 9\n[[custodian]]\nname = "b"\nkind = "pkcs11"\nmodule = "m"\n'
        'token = "t"\npin_env = "P"\n',
    ],
    "subject_map": [MAP],
    # The example of its document, and the same as a code holds it.
    "kit": [KIT, " ".join(KIT.upper().split()), KIT.replace("v1", "v2")],
}
# Binary values by the oid of their type.
VALUES = {
    16: ["01"], 18: ["61"], 20: ["8000000000000000"], 21: ["8000"], 23: ["ffffffff"], 25: ["41"], 17: ["00ff"],
    26: ["ffffffff"], 650: ["0218010401020300"], 700: ["00000001", "4b7f0000"], 701: ["44b52d02c7e14af6"],
    774: ["0011223344556677"], 790: ["8000000000000000"], 829: ["001122334455"],
    869: ["03800010" + 10 * "00" + "ffff01020304", "0220000401020304"],
    1082: ["7fffffff", "ffda97a7"], 1083: ["000000141dd76000"], 1114: ["fd0f7f4e6b7d8000"], 1184: ["0000000000000001"],
    1186: ["ffffffffffffffff00000001fffffff2"], 1266: ["000000141dd7600000000e11"], 1560: ["0000000da5a0"],
    1700: ["0002000040000002000c0d48", "00000000c0000000", "00000000d0000000"],
    2950: [16 * "11"], 3802: ["017b7d"],
}


def read(path):
    head, _, body = path.read_text().partition("\n\n")
    header = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line and line[0] != "#")
    return header, bytes.fromhex("".join(body.split()))


def main(corpus):
    def write(target, name, data):
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    for target, kinds in KINDS.items():
        for kind in kinds:
            for path in sorted((VECTORS / kind).glob("*.txt")):
                header, data = read(path)
                if target == "segment" and header["codec"] in "01":
                    # The target's first bytes are the length that the index claims, and the codec.
                    plain = bytes.fromhex(header.get("plain", ""))
                    codec = int(header["codec"]) << 24
                    length = int(header["raw-bytes"]) & 0xFFFFFF
                    write(target, "plain-" + path.stem, (length | codec).to_bytes(4, "little") + plain)
                write(target, kind + "-" + path.stem, data)
                if target == "replica_head" and "plain" in header:
                    write(target, "plain-" + path.stem, bytes.fromhex(header["plain"]))
                if target == "replica_cell" and "plain" in header:
                    write("replica_rows", "plain-" + path.stem, bytes.fromhex(header["plain"]))
    for path in sorted(VECTORS.glob("manifest*/*.txt")):
        write("manifest", f"{path.parent.name}-{path.stem}", read(path)[0]["json"].encode())
    for path in sorted((VECTORS / "columns").glob("*.txt")):
        header, data = read(path)
        # The target's first bytes are what the index says, and the layout.
        layout = json.dumps(json.loads(header["layout"])).encode()
        rows, length = int(header["rows"]) & 0xFFFF, int(header["raw-bytes"]) & 0xFFFFFF
        head = rows.to_bytes(2, "little") + length.to_bytes(4, "little")
        write("columns", path.stem, head + len(layout).to_bytes(2, "little") + layout + data)
    for path in sorted((VECTORS / "wrapped-key").glob("*.txt")):
        header, data = read(path)
        write("wrapped_key", path.stem, bytes.fromhex(header.get("shard-key", "")) + data)
    for target, texts in TEXTS.items():
        for number, text in enumerate(texts):
            write(target, f"text-{number}", text.encode())
    for oid, values in VALUES.items():
        for number, value in enumerate(values):
            write("values", f"{oid}-{number}", oid.to_bytes(2, "big") + bytes.fromhex(value))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

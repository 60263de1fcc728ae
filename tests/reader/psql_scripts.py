#!/usr/bin/env python3
"""Writes psql's scripts that load what read_backup.py gave into a database.

    psql_scripts.py FOLDER

FOLDER/rows.sql loads rows, the sequences' values and large objects, and belongs between pg_restore's
sections `pre-data` and `post-data`. FOLDER/views.sql fills the materialised views after both. Names in
the scripts come from the manifest, quoted; values come from the files beside them.
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import read_backup as reader  # noqa: E402

PIECE_BYTES = 2**20
# Section 10 of docs/format.md.
SETTINGS = r"""\set ON_ERROR_STOP on
\encoding UTF8
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = postgres;
SET TimeZone = UTC;
SET lc_monetary = 'C';
SET standard_conforming_strings = on;
SET search_path = '';
"""


def identifier(name):
    return '"' + name.replace('"', '""') + '"'


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def quoted(name):
    """A name of the manifest, `schema.table`, with all its quotes."""
    return ".".join(identifier(part) for part in reader.name_parts(name))


def rows(manifest, folder):
    tables = {table["name"]: table for table in manifest["schema"]["tables"]}
    for relation in manifest["relations"]:
        if relation["relation"] == "large-objects":
            continue
        name = relation["relation"]["table"]
        columns = [
            identifier(column["name"])
            for column in tables[name]["columns"]
            if not column["generated"]
        ]
        listed = f" ({', '.join(columns)})" if columns else ""
        file = folder / f"{reader.safe(name)}.copy"
        options = " with (format binary)" if relation["format"] == "copy-binary" else ""
        yield f"\\copy {quoted(name)}{listed} from {literal(str(file))}{options}\n"


def sequences(manifest):
    for sequence in manifest["schema"]["sequences"]:
        name = literal(quoted(sequence["name"]))
        is_called = "true" if sequence["is_called"] else "false"
        yield f"SELECT pg_catalog.setval({name}, {sequence['last_value']}, {is_called});\n"


def large_objects(files):
    for file in files:
        oid = int(file.name)
        yield f"SELECT pg_catalog.lo_create({oid});\n"
        with file.open("rb") as contents:
            at = 0
            while piece := contents.read(PIECE_BYTES):
                yield f"SELECT pg_catalog.lo_put({oid}, {at}, '\\x{piece.hex()}');\n"
                at += len(piece)
        comment = properties(file)["comment"]
        if comment is not None:
            yield f"COMMENT ON LARGE OBJECT {oid} IS {literal(comment)};\n"


def rights(files):
    for file in files:
        oid, known = int(file.name), properties(file)
        yield f"ALTER LARGE OBJECT {oid} OWNER TO {identifier(known['owner'])};\n"
        for grant in known["grants"]:
            role = "PUBLIC" if grant["role"] is None else identifier(grant["role"])
            option = " WITH GRANT OPTION" if grant["grantable"] else ""
            yield f"GRANT {grant['privilege']} ON LARGE OBJECT {oid} TO {role}{option};\n"


def properties(file):
    return json.loads(file.with_suffix(".json").read_text())


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1]).resolve()
    manifest = json.loads((folder / "manifest.json").read_text())
    # Without its properties a large object was not read whole.
    files = sorted(path.with_suffix("") for path in folder.glob("large-objects/*.json"))
    with (folder / "rows.sql").open("w", encoding="utf-8") as script:
        script.write(f"{SETTINGS}BEGIN;\n")
        script.writelines(rows(manifest, folder))
        script.writelines(sequences(manifest))
        script.writelines(large_objects(files))
        script.write("COMMIT;\n-- Roles that are not on this server stop nothing.\n")
        script.write("\\set ON_ERROR_STOP off\n")
        script.writelines(rights(files))
    with (folder / "views.sql").open("w", encoding="utf-8") as script:
        script.write(SETTINGS)
        for view in manifest["schema"]["materialized_views"]:
            script.write(f"REFRESH MATERIALIZED VIEW {quoted(view)};\n")


if __name__ == "__main__":
    main()

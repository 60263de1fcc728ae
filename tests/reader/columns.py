"""Rows in columns: section 20 of docs/format.md."""

import hashlib
import struct

INTEGERS = {"integer-1": 1, "integer-2": 2, "integer-4": 4, "integer-8": 8}
FIXED = {"fixed-4": 4, "fixed-8": 8, "fixed-16": 16}
KINDS = {"bytes", "text", "numeric", *INTEGERS, *FIXED}
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
GROUP_DIGITS_MAX = 18
AS_BYTES = 31
NULL = struct.pack(">i", -1)


def check_layout(layout):
    """Raises ValueError unless it is a layout as a manifest has it."""
    if not isinstance(layout, list):
        raise ValueError("a layout is no list")
    for column in layout:
        if not isinstance(column, dict) or not {"kind"} <= set(column) <= {"kind", "patterns"}:
            raise ValueError("a column of a layout has other fields")
        patterns = column.get("patterns", [])
        if not isinstance(column["kind"], str) or column["kind"] not in KINDS:
            raise ValueError("a column is of a kind that is not known")
        if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
            raise ValueError("patterns that are no texts")
        if patterns and column["kind"] != "text":
            raise ValueError("patterns of something else than texts")


def digest(layout):
    fields = []
    for column in layout:
        patterns = column.get("patterns", [])
        fields += [column["kind"].encode(), struct.pack(">Q", len(patterns))]
        fields += [pattern.encode() for pattern in patterns]
    return hashlib.sha256(
        b"".join(struct.pack(">I", len(field)) + field for field in fields)
    ).digest()


def wrapped(number):
    """The signed number of 64 bits that is the same modulo 2^64."""
    return (number + 2**63) % 2**64 - 2**63


class Payload:
    """Reads a payload and never past its end."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, length):
        if self.at + length > len(self.data):
            raise ValueError("it ends too early")
        piece = self.data[self.at : self.at + length]
        self.at += length
        return piece

    def rest(self):
        return self.take(len(self.data) - self.at)

    def varint(self):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            if shift > 0 and byte == 0:
                raise ValueError("a number is not in its shortest form")
            number |= (byte & 0x7F) << shift
            shift += 7
            if number >> 64:
                raise ValueError("a number is over 64 bits")
            if byte < 0x80:
                return number

    def signed(self):
        number = self.varint()
        return number >> 1 ^ -(number & 1)

    def packed(self, width, count):
        """Numbers of so many bits, the lowest bit first."""
        bits = int.from_bytes(self.take((width * count + 7) // 8), "little")
        if bits >> (width * count):
            raise ValueError("bits are set after the last number")
        if width == 0:
            return [0] * count
        # Piece by piece: shifting all of a long list for every number would take its square.
        numbers, mask = [], (1 << width) - 1
        data = bits.to_bytes((width * count + 7) // 8, "little")
        for start in range(0, count, 64):
            piece = min(64, count - start)
            at = start * width // 8
            bits = int.from_bytes(data[at : at + 8 * width], "little")
            numbers += [bits >> (place * width) & mask for place in range(piece)]
        return numbers

    def numbers(self, count):
        """A list of whole numbers."""
        if count == 0:
            return []
        head = self.take(1)[0]
        mode, width = head >> 6, head & 63
        width = 64 if width == 63 else width
        if mode == 3:
            known = self.varint()
            if known > len(self.data):
                raise ValueError("a list of more numbers than bytes")
            known = [self.signed() for _ in range(known)]
            places = self.packed(width, count)
            if max(places) >= len(known):
                raise ValueError("a place that is not in the list")
            return [known[place] for place in places]
        first = self.signed() if mode == 2 else None
        least = self.signed()
        stride = 1 if mode == 0 else self.varint()
        packed = self.packed(width, count if mode != 2 else count - 1)
        numbers = [wrapped(least + number * stride) for number in packed]
        if mode == 2:
            differences, numbers = numbers, [first]
            for difference in differences:
                numbers.append(wrapped(numbers[-1] + difference))
        return numbers


def groups_of(pattern):
    return [ord(character) for character in pattern if 1 <= ord(character) <= GROUP_DIGITS_MAX]


class Column:
    """One column: its lists first, its bytes when they are at hand."""

    def __init__(self, layout, rows, raw_bytes, payload):
        self.kind, self.patterns = layout["kind"], layout.get("patterns", [])
        head = payload.take(1)[0]
        self.is_equal, nulls = head & 4 != 0, head & ~4
        if nulls not in (0, 1, 2):
            raise ValueError("a column has a head that is not known")
        self.nulls = payload.packed(1, rows) if nulls == 2 else [nulls] * rows
        values = rows - sum(self.nulls)
        if self.is_equal and (self.kind not in FIXED or values == 0):
            raise ValueError("a column has a head that it cannot have")
        self.tags, self.units, self.groups, lengths = [], [], [], []
        if self.kind in INTEGERS:
            self.units = payload.numbers(values)
        elif self.kind in FIXED:
            lengths = [FIXED[self.kind]] * (1 if self.is_equal else values)
        elif self.kind == "bytes":
            lengths = payload.numbers(values)
        elif self.kind == "numeric":
            self.tags = payload.numbers(values)
            if not all(0 <= tag <= AS_BYTES for tag in self.tags):
                raise ValueError("a numeric has a scale that cannot be")
            as_bytes = self.tags.count(AS_BYTES)
            self.units = payload.numbers(values - as_bytes)
            lengths = payload.numbers(as_bytes)
        else:
            self.tags = payload.numbers(values)
            if not all(0 <= tag <= len(self.patterns) for tag in self.tags):
                raise ValueError("a text has a pattern that is not there")
            lengths = payload.numbers(self.tags.count(0))
            digits = [groups_of(pattern) for pattern in self.patterns]
            counts = [len(digits[tag - 1]) for tag in self.tags if tag]
            if sum(counts) > raw_bytes:
                raise ValueError("its texts are longer than its rows")
            for place in range(max(counts, default=0)):
                self.groups.append(payload.numbers(sum(count > place for count in counts)))
        if any(length < 0 for length in lengths):
            raise ValueError("a value is shorter than nothing")
        self.lengths, self.literal_bytes = lengths, sum(lengths)

    def fields(self, literals):
        """The column's fields, row by row; `literals` are its own bytes."""
        ends, pieces = 0, []
        for length in self.lengths:
            pieces.append(literals[ends : ends + length])
            ends += length
        literal, tags, units = iter(pieces), iter(self.tags), iter(self.units)
        groups = [iter(group) for group in self.groups]
        for null in self.nulls:
            if null:
                yield NULL
                continue
            if self.kind in INTEGERS:
                value = next(units)
                try:
                    value = value.to_bytes(INTEGERS[self.kind], "big", signed=True)
                except OverflowError:
                    raise ValueError("a number is beyond its width") from None
            elif self.kind == "numeric":
                scale = next(tags)
                value = next(literal) if scale == AS_BYTES else numeric(next(units), scale)
            elif self.kind == "text":
                tag = next(tags)
                value = text(self.patterns[tag - 1], groups) if tag else next(literal)
            else:
                value = pieces[0] if self.is_equal else next(literal)
            yield struct.pack(">i", len(value)) + value


def text(pattern, groups):
    found, lists = [], iter(groups)
    for character in pattern:
        digits = ord(character)
        if 1 <= digits <= GROUP_DIGITS_MAX:
            group = next(next(lists)) % 2**64
            character = f"{group:0{digits}}"
            if len(character) > digits:
                raise ValueError("a group has more digits than its pattern says")
        found.append(character)
    return "".join(found).encode()


def numeric(units, scale):
    """The value as `numeric_send` writes it: digits to the base of 10,000."""
    after_point = -(-scale // 4)
    rest = abs(units) * 10 ** (4 * after_point - scale)
    digits = []
    while rest:
        rest, digit = divmod(rest, 10_000)
        digits.insert(0, digit)
    weight = len(digits) - 1 - after_point if digits else 0
    while digits and digits[-1] == 0:
        digits.pop()
    sign = 0x4000 if units < 0 else 0
    return struct.pack(f">HhHH{len(digits)}H", len(digits), weight, sign, scale, *digits)


def tuples(layout, payload, rows, raw_bytes, decompress):
    """The tuples of a payload; `decompress` takes a frame and the length that it must have."""
    payload = Payload(payload)
    if payload.varint() != rows or (2 + 4 * len(layout)) * rows > raw_bytes:
        raise ValueError("it holds another number of rows")
    columns = [Column(column, rows, raw_bytes, payload) for column in layout]
    length = sum(column.literal_bytes for column in columns)
    if length > raw_bytes:
        raise ValueError("its values are longer than its rows")
    literals = b""
    if length:
        compressed, literals = payload.varint(), payload.rest()
        if compressed:
            if compressed != len(literals):
                raise ValueError("its literals have another length")
            literals = decompress(literals, length)
    if len(literals) != length or payload.rest():
        raise ValueError("it has bytes left over or too few")
    at, fields = 0, []
    for column in columns:
        fields.append(column.fields(literals[at : at + column.literal_bytes]))
        at += column.literal_bytes
    head = struct.pack(">H", len(layout))
    found = b"".join(head + b"".join(next(field) for field in fields) for _ in range(rows))
    if len(found) != raw_bytes:
        raise ValueError("its rows have another length than the index says")
    return found

#!/usr/bin/env python3
"""Puts an epoch secret together from its custodians' shares: python3 shamir.py SHARE_FILE...

Written from docs/format.md, section 4, alone: Shamir's scheme over GF(2^8), byte by byte. Prints the
secret's 64 hexadecimal digits. Needs nothing but Python."""

import re
import sys

POLYNOMIAL = 0x11B  # x^8 + x^4 + x^3 + x + 1
LINES = [
    ("vault", "[0-9a-f]{32}"), ("epoch", "0|[1-9][0-9]*"), ("set", "[0-9a-f]{32}"),
    ("threshold", "[1-9][0-9]*"), ("index", "[1-9][0-9]*"), ("share", "[0-9a-f]{64}"),
]
WHOLE = [("vault", "[0-9a-f]{32}"), ("epoch", "[0-9]+"), ("secret", "[0-9a-f]{64}")]


class Refused(ValueError):
    """Shares that cannot be used, in the words of the test vectors' outcomes."""

    def __init__(self, outcome, message):
        super().__init__(message)
        self.outcome = outcome


def multiply(a, b):
    """The product of two elements of the field."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= POLYNOMIAL
        b >>= 1
    return product


def invert(a):
    """The element that gives 1 with this one: a^254."""
    if a == 0:
        raise ValueError("0 has no inverse")
    result = 1
    for _ in range(254):
        result = multiply(result, a)
    return result


def combine(points):
    """The secret from exactly threshold points (index, bytes): Lagrange's interpolation at 0."""
    indices = [index for index, _ in points]
    if 0 in indices or len(set(indices)) != len(indices):
        raise ValueError("the indices must be different and not 0")
    secret = bytearray(len(points[0][1]))
    for index, value in points:
        weight = 1
        for other in indices:
            if other != index:
                # x_j / (x_j - x_i); a difference is an exclusive or.
                weight = multiply(weight, multiply(other, invert(other ^ index)))
        for at, byte in enumerate(value):
            secret[at] ^= multiply(weight, byte)
    return bytes(secret)


def read_share(data):
    """A share's bytes as a dictionary; a whole secret of the form before shares is its only share."""
    try:
        head, *lines = data.decode("ascii").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise Refused("malformed", "a share is not text") from None
    forms = {"strongroom epoch share v1": LINES, "strongroom epoch secret v1": WHOLE}
    form = forms.get(head, [])
    if not form or len(lines) != len(form):
        raise Refused("malformed", "this is no share of an epoch secret")
    share = {}
    for (key, pattern), line in zip(form, lines):
        found = re.fullmatch(f"{key} ({pattern})", line)
        if not found:
            raise Refused("malformed", f"the line `{key}` of a share is missing or malformed")
        share[key] = found[1]
    if form is WHOLE:
        share |= {"set": "00" * 16, "threshold": 1, "index": 1, "share": share["secret"]}
    for number in ("epoch", "threshold", "index"):
        share[number] = int(share[number])
    if max(share["threshold"], share["index"]) > 255:
        raise Refused("malformed", "a share's numbers are too large")
    share["share"] = bytes.fromhex(share["share"])
    return share


def epoch_secret(shares):
    """The epoch secret from shares that belong together."""
    first = shares[0]
    for key in ("vault", "epoch", "set", "threshold"):
        if any(share[key] != first[key] for share in shares):
            raise Refused("mixed-shares", f"the shares do not belong together: their {key} differs")
    points = {}
    for share in shares:
        if points.setdefault(share["index"], share["share"]) != share["share"]:
            raise Refused("malformed", "two different shares have one index")
    needed = first["threshold"]
    if len(points) < needed:
        message = f"{needed} shares are needed, and only {len(points)} are here"
        raise Refused("too-few-shares", message)
    points = sorted(points.items())
    secret = combine(points[:needed])
    for point in points[needed:]:
        if combine(points[: needed - 1] + [point]) != secret:
            raise Refused("malformed", "one of the shares does not fit the others")
    return secret


def main(files):
    shares = []
    for file in files:
        with open(file, "rb") as share:
            shares.append(read_share(share.read()))
    print(epoch_secret(shares).hex())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1:])
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")

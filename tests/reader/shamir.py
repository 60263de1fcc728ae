#!/usr/bin/env python3
"""Puts an epoch secret together from its custodians' shares: python3 shamir.py SHARE_FILE...

Written from docs/format.md, section 4, alone: Shamir's scheme over GF(2^8), byte by byte. Prints the
secret's 64 hexadecimal digits. Needs nothing but Python."""

import sys

POLYNOMIAL = 0x11B  # x^8 + x^4 + x^3 + x + 1
HEAD = "strongroom epoch share v1"
KEYS = ["vault", "epoch", "set", "threshold", "index", "share"]


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


def read_share(text):
    """A share's text as a dictionary; the text of the version before shares is the whole secret."""
    lines = text.splitlines()
    if lines and lines[0] == "strongroom epoch secret v1":
        keys = dict(line.split(" ", 1) for line in lines[1:])
        return {
            "vault": keys["vault"], "epoch": int(keys["epoch"]), "set": "00" * 16,
            "threshold": 1, "index": 1, "share": bytes.fromhex(keys["secret"]),
        }
    if not lines or lines[0] != HEAD:
        raise ValueError("not a share of an epoch secret")
    keys = dict(line.split(" ", 1) for line in lines[1:])
    if list(keys) != KEYS:
        raise ValueError("the share's lines are not the ones there must be")
    for number in ("epoch", "threshold", "index"):
        keys[number] = int(keys[number])
    keys["share"] = bytes.fromhex(keys["share"])
    if len(keys["share"]) != 32 or keys["threshold"] < 1 or not 1 <= keys["index"] <= 255:
        raise ValueError("the share's numbers cannot be right")
    return keys


def epoch_secret(shares):
    """The epoch secret from shares that belong together."""
    first = shares[0]
    for key in ("vault", "epoch", "set", "threshold"):
        if any(share[key] != first[key] for share in shares):
            raise ValueError(f"the shares do not belong together: their {key} differs")
    points = {share["index"]: share["share"] for share in shares}
    needed = first["threshold"]
    if len(points) < needed:
        raise ValueError(f"{needed} shares are needed, and only {len(points)} are here")
    if needed == 1:
        return first["share"]
    return combine(sorted(points.items())[:needed])


def main(files):
    shares = []
    for file in files:
        with open(file, encoding="ascii") as text:
            shares.append(read_share(text.read()))
    print(epoch_secret(shares).hex())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        main(sys.argv[1:])
    except (ValueError, KeyError) as error:
        sys.exit(f"error: {error}")

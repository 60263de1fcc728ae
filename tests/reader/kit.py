"""The master secret from a recovery kit's text, as docs/recovery-kit.md has it."""

import hashlib

HEAD = "strongroom recovery kit v1"


def master_secret(data):
    """The vault's id and the master secret, or ValueError with the line that is wrong."""
    words = data.decode().lower().split()
    starts = [n for n in range(len(words)) if words[n : n + 4] == HEAD.split()]
    if not starts:
        raise ValueError("this is no recovery kit")
    place = starts[-1] + 4

    def line(name, length):
        """The digits and the check of the line that comes next."""
        nonlocal place
        expected = name.split()
        if words[place : place + len(expected)] != expected:
            raise ValueError(f"the line `{name}` is missing")
        place += len(expected)
        digits = ""
        while words[place] != "check":
            digits += words[place]
            place += 1
        check = words[place + 1]
        place += 2
        if len(digits) != length:
            raise ValueError(f"the line `{name}` has another length")
        return bytes.fromhex(digits), check

    def matches(name, vault, part, check):
        digest = hashlib.sha256(f"{HEAD} {name}".encode() + vault + part).hexdigest()
        if not digest.startswith(check):
            raise ValueError(f"the line `{name}` has a typing error")

    vault, check = line("vault", 32)
    matches("vault", vault, b"", check)
    secret = b""
    for number in range(1, 5):
        part, check = line(f"secret {number}", 16)
        matches(f"secret {number}", vault, part, check)
        secret += part
    _, check = line("all", 0)
    matches("all", vault, secret, check)
    return vault, secret

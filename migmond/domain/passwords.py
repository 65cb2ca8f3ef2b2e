"""What is kept of a password, and how one is checked against it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**15, 8, 1
"""32 MiB and about 80 ms (RFC 7914; OWASP's Password Storage Cheat Sheet allows N = 2^15, r = 8, p = 3 and up in
exchange for more rounds: the rate limit above does the rest)."""
_SCRYPT_BYTES = 128 << 20


def hash_password(password: str) -> str:
    """Return what the password file holds of a password: `scrypt$N$r$p$SALT$KEY`."""
    salt = secrets.token_bytes(16)
    key = hashlib.scrypt(
        password.encode(), salt=salt, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P, maxmem=_SCRYPT_BYTES, dklen=32
    )
    text = [base64.b64encode(part).decode() for part in (salt, key)]
    return f"scrypt${SCRYPT_N}${SCRYPT_R}${SCRYPT_P}${text[0]}${text[1]}"


def check_password(password: str, stored: str) -> bool:
    """Whether `password` is the one that `stored` was made of. For a name that has none it takes as long."""
    parts = stored.split("$")
    try:
        scheme, n, r, p, salt, key = parts
        numbers = int(n), int(r), int(p)
        salt_bytes, key_bytes = base64.b64decode(salt, validate=True), base64.b64decode(key, validate=True)
        known = scheme == "scrypt" and numbers[0] <= 2**20 and numbers[1] <= 32 and numbers[2] <= 16
    except (ValueError, binascii.Error):
        known = False
    if not known:
        numbers, salt_bytes, key_bytes = (SCRYPT_N, SCRYPT_R, SCRYPT_P), b"nobody", b""
    try:
        found = hashlib.scrypt(
            password.encode("utf-8", "surrogatepass"), salt=salt_bytes, n=numbers[0], r=numbers[1], p=numbers[2],
            maxmem=_SCRYPT_BYTES, dklen=32,
        )  # fmt: skip
    except ValueError:  # numbers that scrypt does not take
        return False
    return known and hmac.compare_digest(found, key_bytes)

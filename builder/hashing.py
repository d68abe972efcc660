"""Hash functions as in hashlib, without OpenSSL where there is little to hash: loading that takes 5 ms, as long as
hashing half a megabyte without it, and a build that finds everything in the cache hashes a few kilobytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import _Hash
    from hashlib import blake2b as blake2b
    from hashlib import sha256 as _small_sha256
else:
    try:
        from _blake2 import blake2b as blake2b
    except ImportError:
        from hashlib import blake2b as blake2b
    try:
        from _sha2 import sha256 as _small_sha256
    except ImportError:
        try:
            from _sha256 import sha256 as _small_sha256  # until Python 3.11
        except ImportError:
            from hashlib import sha256 as _small_sha256

_LITTLE = 64 << 10


def sha256(data: bytes = b"", *, following: int = 0) -> _Hash:
    """A hash object that has `data`; `following` is about how many bytes it will be given."""
    if len(data) + following <= _LITTLE:
        return _small_sha256(data)
    from hashlib import sha256

    return sha256(data)

from __future__ import annotations

import hashlib

import pytest

from builder.hashing import blake2b, sha256


@pytest.mark.parametrize("size", [0, 1, 64 << 10, (64 << 10) + 1, 1 << 20])
def test_is_hashlibs(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert sha256(data).hexdigest() == hashlib.sha256(data).hexdigest()
    fed = sha256(following=size)
    fed.update(data[:100])
    fed.update(data[100:])
    assert fed.digest() == hashlib.sha256(data).digest()
    assert blake2b(data, digest_size=8, key=b"k").digest() == hashlib.blake2b(data, digest_size=8, key=b"k").digest()

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from builder.builds.fetching import StoredDownload
from builder.builds.inputs import parsed
from builder.context.httpsource import HttpFile
from builder.oci import Digest
from builder.plan.vertices import SourceHttp
from builder.source import Source
from builder.store import Store

SOURCE = Source("Dockerfile", 'FROM base\nRUN --mount=type=cache,target=$A echo "${B:-"x$C"}"\nENV D="\u00e9 $D"\n')


def _kept(store: Store) -> Path:
    (file,) = Path(store.root, "stat").iterdir()
    return file


@pytest.mark.parametrize("damage", [
    lambda data: b"",
    lambda data: data[:len(data) // 2],
    lambda data: bytes(len(data)),
    lambda data: data.replace("\u00e9".encode(), b"\xff\xff"),
    lambda data: data[:data.index(b"words")] + b"words\x81\xa5words\x81\xa1x" + b"\x91\x93\xa1d\x91" * 100_000,
    lambda data: b"\x81\xa6stages" + b"\x91" * 100_000,
])
def test_a_damaged_parse_is_made_anew(store: Store, damage: Callable[[bytes], bytes]) -> None:
    whole = parsed(store, SOURCE)
    file = _kept(store)
    data = file.read_bytes()
    file.write_bytes(damage(data))
    assert parsed(store, SOURCE) == whole
    assert file.read_bytes() == data


def test_no_damaged_byte_of_a_parse_is_an_error(store: Store) -> None:
    parsed(store, SOURCE)
    file = _kept(store)
    data = file.read_bytes()
    for position in range(len(data)):
        file.write_bytes(data[:position] + bytes([data[position] ^ random.Random(position).randrange(1, 256)])
                         + data[position + 1:])
        parsed(store, SOURCE)


@pytest.mark.parametrize("kept", [b"", b"{", b"\xff", b'{"filename":"\xff"}', b"[" * 100_000, b'{"filename":"a"}'])
def test_a_damaged_memory_of_a_download_is_none(store: Store, tmp_path: Path, kept: bytes) -> None:
    download = StoredDownload(store, SourceHttp(url="http://127.0.0.1/a", filename="a"))
    file = HttpFile(filename="a", digest=Digest(f"sha256:{sha256(b'x').hexdigest()}"), size=1)
    (tmp_path / "a").write_bytes(b"x")
    download.keep(file, str(tmp_path / "a"))
    assert download.earlier() == file
    _kept(store).write_bytes(kept)
    assert download.earlier() is None

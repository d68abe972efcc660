"""Files that appear when they are complete, or not at all."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.images.outfile import Destination, DestinationRefused


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 4 KiB: what a full disk looks like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_keeps_its_mode_and_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o600)
    (tmp_path / "link").symlink_to("real")
    with Destination(str(tmp_path / "link")) as out:
        out.write(b"new")
        assert (tmp_path / "real").read_text() == "old"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o600
    assert not list(tmp_path.glob("*partial*"))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    target = tmp_path / "a.tar"
    target.write_text("old")
    with pytest.raises(DestinationRefused, match="File too large"), Destination(str(target)) as out:
        out.write(b"1" * 5000)  # is still in the buffer when the block ends
    with pytest.raises(KeyboardInterrupt), Destination(str(target)) as out:
        out.write(b"1" * 5000)
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert not list(tmp_path.glob("*partial*"))


def test_a_device_that_is_full() -> None:
    with pytest.raises(DestinationRefused, match="No space left"), Destination("/dev/full") as out:
        out.write(b"1")

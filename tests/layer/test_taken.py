"""What many files amount to is remembered by what stat says of them; any change that counts is seen all the same."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from builder.context.fingerprints import Fingerprints
from builder.context.local import LocalContext
from builder.layer.copylayer import plan_copy
from builder.plan.vertices import Copy, CopySource
from tests.context.test_fingerprints import Saved, later

pytestmark = pytest.mark.root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "d").mkdir(parents=True)
    for number in range(40):
        (folder / "d" / f"f{number:02}").write_text(f"file {number:02}")
    (folder / "link").symlink_to("d/f00")
    os.link(folder / "d/f01", folder / "hard")
    (folder / "d/empty").mkdir()
    return folder


def digest(root: Path, saved: Saved, clock: Callable[[], int] = later) -> str:
    fingerprints = Fingerprints(b"secret", saved, clock=clock)
    copy = Copy(sources=(CopySource(input=0, paths=(".",)),), destination="/x/", has_parent=False)
    taken = plan_copy(copy, [LocalContext(str(root))], None).taken.digest(fingerprints)
    fingerprints.save()
    return taken


def test_nothing_but_stat_is_asked_of_unchanged_files(root: Path) -> None:
    saved = Saved()
    first = digest(root, saved)
    notes = saved[f"copies {root}/"]
    saved.clear()
    saved[f"copies {root}/"] = notes
    assert digest(root, saved) == first
    assert set(saved) == {f"copies {root}/"}, "a file was hashed"


def same_size_and_times(root: Path) -> None:
    path = root / "d/f07"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    path.write_text("FILE 07")
    os.utime(path, ns=times)


def replaced(root: Path) -> None:
    path, new = root / "d/f07", root / "new"
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    new.write_text("FILE 07")
    os.utime(new, ns=times)
    new.rename(path)


def linked_elsewhere(root: Path) -> None:
    (root / "link").unlink()
    (root / "link").symlink_to("d/f02")


def parted(root: Path) -> None:
    """A hard link becomes a file of its own with the same content."""
    (root / "hard").unlink()
    (root / "hard").write_text("file 01")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "d/f07").write_text("another content"),
    "content of the same size and times": same_size_and_times,
    "replaced by a file of the same size and time": replaced,
    "mode": lambda root: (root / "d/f07").chmod(0o600),
    "mode of a directory": lambda root: (root / "d/empty").chmod(0o700),
    "name": lambda root: (root / "d/f07").rename(root / "d/g07"),
    "new file": lambda root: (root / "d/f99").touch(),
    "file gone": lambda root: (root / "d/f07").unlink(),
    "target of a link": linked_elsewhere,
    "hard link": parted,
    "capability": lambda root: os.setxattr(root / "d/f07", "security.capability",
                                           bytes.fromhex("0100000200200000000000000000000000000000")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(root: Path, change: str) -> None:
    saved = Saved()
    before = digest(root, saved)
    CHANGES[change](root)
    after = digest(root, saved)
    assert after != before
    assert after == digest(root, Saved()), "not what somebody sees who remembers nothing"


def test_what_counts_for_nothing_changes_nothing(root: Path) -> None:
    saved = Saved()
    before = digest(root, saved)
    os.utime(root / "d/f07")
    assert digest(root, saved) == before


def test_a_pattern_that_matches_nothing_comes_first(root: Path) -> None:
    sources = tuple(CopySource(input=number, paths=(path,)) for number, path in enumerate(("nothing*", ".")))
    copy = Copy(sources=sources, destination="/x/", has_parent=False)
    trees = [LocalContext(str(root))] * 2
    assert plan_copy(copy, trees, None).taken.digest(Fingerprints(b"secret", Saved(), clock=later))


def test_files_that_changed_just_now_are_not_remembered(root: Path) -> None:
    saved = Saved()
    digest(root, saved, time.time_ns)
    assert f"copies {root}/" not in saved

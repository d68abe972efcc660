"""Fingerprints and the memory behind them."""

from __future__ import annotations

import marshal
import os
import time
from pathlib import Path

import pytest

from builder.context.fingerprints import Fingerprints
from builder.context.local import LocalContext
from builder.layer.tree import Entry
from builder.layer.view import MergedView


def later() -> int:
    """A clock by which the files of a test were changed long ago."""
    return time.time_ns() + 10 * 10**9


class Saved(dict[str, bytes]):
    def recall(self, name: str) -> bytes | None:
        return self.get(name)

    def remember(self, name: str, data: bytes) -> None:
        self[name] = data


def files(root: Path) -> list[Entry]:
    return [entry for entry in LocalContext(str(root)).walk("") if entry.is_file]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    for number in range(40):
        (tmp_path / "d" / str(number)).write_text(f"file {number}")
    return tmp_path


def test_equal_content_equal_fingerprint(tmp_path: Path) -> None:
    large = os.urandom(3 << 20)
    for name, content in {"a": b"x", "b": b"x", "c": b"y", "e": b"", "f": large, "g": large,
                          "h": large[:-1] + b"\0"}.items():
        (tmp_path / name).write_bytes(content)
    a, b, c, e, f, g, h = Fingerprints(b"secret").digests(files(tmp_path))
    assert a == b and f == g
    assert len({a, c, e, f, h}) == 5
    assert {len(digest) for digest in (a, e, f)} == {16}


def test_one_large_file_is_hashed_as_several_are(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(3 << 20))
    (tmp_path / "b").write_bytes(os.urandom(2 << 20))
    entries = files(tmp_path)
    both = Fingerprints(b"secret").digests(entries)
    assert both == [Fingerprints(b"secret").digests([entry])[0] for entry in entries]


def test_the_secret_seeds_them(root: Path) -> None:
    entries = files(root)
    first, again, other = (Fingerprints(secret).digests(entries) for secret in (b"one", b"one", b"two"))
    assert first == again
    assert not set(first) & set(other)


@pytest.mark.root
def test_capabilities_count(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").write_text("x")
    os.setxattr(tmp_path / "b", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
    a, b = Fingerprints(b"secret").digests(files(tmp_path))
    assert a != b


def test_known_files_are_not_opened_again(root: Path) -> None:
    saved = Saved()
    first = Fingerprints(b"secret", saved, clock=later)
    digests = first.digests(files(root))
    first.save()
    [(name, data)] = saved.items()
    assert name == str(root) + "/"
    # what a row says is believed as long as stat says the same
    version, rows = marshal.loads(data)
    size, mtime, ctime, inode, _ = rows["d/7"]
    rows["d/7"] = (size, mtime, ctime, inode, b"remembered digest")
    saved[name] = marshal.dumps((version, rows))
    again = Fingerprints(b"secret", saved).digests(files(root))
    assert again == [b"remembered digest" if entry.path == "d/7" else digest
                     for entry, digest in zip(files(root), digests, strict=True)]


@pytest.mark.parametrize("change", ["content", "same size and mtime", "replaced"])
def test_a_changed_file_is_hashed_again(root: Path, change: str) -> None:
    saved = Saved()
    first = Fingerprints(b"secret", saved, clock=later)
    before = first.digests(files(root))
    first.save()
    path = root / "d/7"
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    if change == "content":
        path.write_text("longer than before")
    elif change == "same size and mtime":
        path.write_text("FILE 7")
        os.utime(path, ns=times)
    else:
        (root / "new").write_text("FILE 7")
        os.utime(root / "new", ns=times)
        os.rename(root / "new", path)
    changed = [entry.path for entry, old, new in zip(
        files(root), before, Fingerprints(b"secret", saved).digests(files(root)), strict=True) if old != new]
    assert changed == ["d/7"]


def test_files_that_changed_just_now_are_not_remembered(root: Path) -> None:
    saved = Saved()
    first = Fingerprints(b"secret", saved)
    first.digests(files(root))
    first.save()
    assert marshal.loads(saved[str(root) + "/"])[1] == {}


def test_little_work_is_not_saved(root: Path) -> None:
    saved = Saved()
    few = Fingerprints(b"secret", saved, clock=later)
    few.digests(files(root)[:5])
    few.save()
    assert saved == {}


@pytest.mark.parametrize("damage", [b"", b"\xff\xff", marshal.dumps(5), marshal.dumps((0, {})), marshal.dumps((1, []))])
def test_a_damaged_cache_only_costs_time(root: Path, damage: bytes) -> None:
    saved = Saved({str(root) + "/": damage})
    assert Fingerprints(b"secret", saved).digests(files(root)) == Fingerprints(b"secret").digests(files(root))


def test_rows_of_files_that_were_not_asked_for_one_by_one_stay(root: Path) -> None:
    saved = Saved()
    first = Fingerprints(b"secret", saved, clock=later)
    first.digests(files(root))
    place = LocalContext(str(root)).lstat("d")
    assert place is not None
    first.note(place, b"facts", "digest", files(root))
    first.save()
    name = f"{root}/"
    rows = marshal.loads(saved[name])[1]
    others = {f"other/{number}": (1, 2, 3, 4, b"x" * 16) for number in range(20_000)}
    saved[name] = marshal.dumps((1, rows | others))
    (root / "new").mkdir()
    for number in range(40):
        (root / "new" / f"n{number}").write_text("x")
    second = Fingerprints(b"secret", saved, clock=later)
    assert second.recall(place, b"facts") == "digest"
    second.digests([entry for entry in files(root) if entry.path.startswith("new/")])
    second.save()
    assert others.keys() | rows.keys() <= set(marshal.loads(saved[name])[1])


def test_rows_of_files_that_nobody_asks_for_go_in_the_end(root: Path) -> None:
    saved = Saved()
    stale = {f"gone/{number}": (1, 2, 3, 4, b"x" * 16) for number in range(20_000)}
    saved[str(root) + "/"] = marshal.dumps((1, stale))
    first = Fingerprints(b"secret", saved, clock=later)
    first.digests(files(root))
    first.save()
    assert set(marshal.loads(saved[str(root) + "/"])[1]) == {entry.path for entry in files(root)}


def test_each_layer_has_its_own_rows(root: Path) -> None:
    upper = root / "upper"
    upper.mkdir()
    for number in range(40):
        (upper / f"u{number}").write_text("x")
    saved = Saved()
    fingerprints = Fingerprints(b"secret", saved, clock=later)
    view = MergedView([str(root / "d"), str(upper)])
    fingerprints.digests([entry for entry in view.walk("") if entry.is_file])
    fingerprints.save()
    assert set(saved) == {f"{root}/d/", f"{upper}/"}

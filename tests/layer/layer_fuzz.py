"""Random stacks of layers, unpacked and looked at, against the model."""

from __future__ import annotations

import io
import os
import random
import stat
from pathlib import Path

from builder.errors import ImageError
from builder.layer.implied import inherit_attributes
from builder.layer.tree import Entry
from builder.layer.unpack import unpack_layer
from builder.layer.view import MergedView
from tests.layer.model import Impossible, Members, Node, Row, apply, random_layer, rows
from tests.layer.tars import tar

_SECOND = 10**9


def check_stack(seed: int, folder: Path, outside: Path) -> int:
    """Unpacks one stack below the empty `folder`, compares it with the model; how many layers it had."""
    choice = random.Random(seed)
    count = choice.randrange(1, 5)
    before = snapshot(outside)
    modelled: list[Node] = []
    dirs: list[str] = []
    for number in range(count):
        members = random_layer(choice, str(outside))
        said = _modelled(members, modelled)
        layer_dir = folder / str(number)
        layer_dir.mkdir()
        done = _unpacked(members, str(layer_dir), dirs)
        assert snapshot(outside) == before, f"seed {seed}, layer {number}: files outside changed"
        assert done == (said is not None), f"seed {seed}, layer {number}: unpacked {done}, model {said}"
        if said is None:
            return number + 1
        modelled.insert(0, said)
        dirs.append(str(layer_dir))
        _compare(rows(modelled), seen(dirs), f"seed {seed}, layer {number}")
    return count


def seen(dirs: list[str]) -> dict[str, Row]:
    """What the store's view shows, as the model's rows."""
    found: dict[str, Row] = {}
    first: dict[tuple[int, int], str] = {}
    for entry in sorted(MergedView(dirs).walk(""), key=lambda entry: entry.path):
        status = entry.stat
        kinds = {stat.S_IFDIR: "d", stat.S_IFREG: "f", stat.S_IFLNK: "l", stat.S_IFIFO: "p"}
        kind = kinds[stat.S_IFMT(status.st_mode)]
        text = _content(entry, kind)
        mode = stat.S_IMODE(status.st_mode) if kind != "l" else 0
        path = first.setdefault((status.st_dev, status.st_ino), entry.path)
        mtime = status.st_mtime_ns // _SECOND
        found[entry.path] = (kind, mode, (status.st_uid, status.st_gid), mtime, text, path)
    return found


def _content(entry: Entry, kind: str) -> str:
    if kind == "f":
        with open(entry.open(), encoding="utf-8") as file:
            return file.read()
    return entry.readlink() if kind == "l" else ""


def snapshot(folder: Path) -> list[object]:
    """All that could be changed about the files of `folder`, but for times of access."""
    found: list[object] = []
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        kept = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_mtime_ns, status.st_ctime_ns)
        found.append((str(path), kept, path.read_bytes() if path.is_file() else b""))
    return found


def fill(outside: Path) -> None:
    """Files that no layer may touch."""
    (outside / "a/b").mkdir(parents=True)
    for name in ("b", "a/c", "a/b/c"):
        (outside / name).write_text("safe")
    os.symlink("b", outside / "d")


def _modelled(members: Members, below: list[Node]) -> Node | None:
    try:
        return apply(members, below)
    except Impossible:
        return None


def _unpacked(members: Members, layer_dir: str, below: list[str]) -> bool:
    """Whether the members could be unpacked; an error that is not in words ends the test."""
    try:
        unpacked = unpack_layer(io.BytesIO(tar(*members)), layer_dir)
    except ImageError:
        return False
    inherit_attributes(layer_dir, unpacked.implied, below)
    return True


def _compare(said: dict[str, Row], shown: dict[str, Row], where: str) -> None:
    for path in said.keys() | shown.keys():
        want, got = said.get(path), shown.get(path)
        if want is not None and got is not None and want[3] is None:
            got = (*got[:3], None, *got[4:])  # nobody says when a directory was made
        assert want == got, f"{where}, `{path}`: the model says {want}, the store shows {got}"

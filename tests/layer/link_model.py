"""What links mean, by the kernel: a program that does everything in a chroot, as naively as it can be done.

It reads lists of questions from its input, one of JSON a line, and answers each with a line. Its paths are those of the
chroot; no code of builder is used.
"""

from __future__ import annotations

import fnmatch
import json
import os
import posixpath
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Node = list[Any]
"""["d", mode, uid, gid, {name: node}], ["f", mode, uid, gid, text] or ["l", uid, gid, target]."""
Owner = tuple[int, int]


class Refused(Exception):
    """What a copy may not do."""


@contextmanager
def inside(root: str) -> Iterator[None]:
    before = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        os.chroot(root)
        os.chdir("/")
        yield
    finally:
        os.fchdir(before)
        os.chroot(".")
        os.close(before)


def read(path: str) -> Node:
    status = os.lstat(path)
    mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
    if stat.S_ISLNK(status.st_mode):
        return ["l", *owner, os.readlink(path)]
    if stat.S_ISDIR(status.st_mode):
        return ["d", mode, *owner, {name: read(f"{path}/{name}") for name in listed(path)}]
    with open(path, encoding="utf-8") as file:
        return ["f", mode, *owner, file.read()]


def listed(path: str) -> list[str]:
    """Overlayfs lists whiteouts where nothing is below, though they are not there."""
    return [name for name in sorted(os.listdir(path)) if os.path.lexists(f"{path}/{name}")]


def write(path: str, node: Node) -> None:
    """A new file, link, or directory with all that is in it."""
    if node[0] == "l":
        os.symlink(node[3], path)
        os.lchown(path, node[1], node[2])
        return
    if node[0] == "f":
        with open(path, "x", encoding="utf-8") as file:
            file.write(node[4])
    elif path != "/":
        os.mkdir(path)
    if node[0] == "d":
        for name, child in node[4].items():
            write(posixpath.join(path, name), child)
    os.chown(path, node[2], node[3])
    os.chmod(path, node[1])


def resolved(path: str) -> str:
    """Without links; what is missing stays as it is written. Raises Refused for more than 40 links, as in a loop."""
    done, todo, links = "/", path.split("/")[::-1], 0
    while todo:
        name = todo.pop()
        if name in ("", ".", ".."):
            done = posixpath.dirname(done) if name == ".." else done
            continue
        done = posixpath.join(done, name)
        if os.path.islink(done):
            links += 1
            target = os.readlink(done)
            todo += target.split("/")[::-1]
            done = "/" if target.startswith("/") else posixpath.dirname(done)
        if links > 40:
            raise Refused(path)
    if os.path.exists(path):
        assert os.path.samefile(path, done), f"the model is wrong about {path}: {done}"
    return done


def meaning(path: str) -> dict[str, Any]:
    """What opening a path comes to, and what opening it without its links does."""
    found: dict[str, Any] = {"errno": 0, "real_errno": 0, "text": None, "loops": False}
    try:
        found["real"] = resolved(path)
    except Refused:
        found["loops"], found["real"] = True, path
    for key, name in (("errno", path), ("real_errno", found["real"])):
        try:
            status = os.stat(name)
        except OSError as error:
            found[key] = error.errno
            continue
        found["inode"] = [status.st_dev, status.st_ino]
        if stat.S_ISREG(status.st_mode):
            with open(name, encoding="utf-8") as file:
                found["text"] = file.read()
    return found


# -- copying ----------------------------------------------------------------------------------------------------------


def taken(word: str, *, literal: bool) -> list[tuple[str, Node]]:
    """What a source word names: the name that it would get in a directory, and what it is."""
    parts = [part for part in os.path.normpath(f"/{word}").split("/") if part]
    patterns = [number for number, part in enumerate(parts) if "*" in part]
    if literal or not patterns:
        path = f"/{word}" if literal else "/" + "/".join(parts)
        return [(parts[-1] if parts else "", _followed(path))]
    found = [resolved("/" + "/".join(parts[:patterns[0]]))]
    if not os.path.lexists(found[0]):
        raise Refused(word)
    for part in parts[patterns[0]:]:
        found = [posixpath.join(path, name) for path in found if os.path.isdir(path) and not os.path.islink(path)
                 for name in listed(path) if fnmatch.fnmatchcase(name, part)]
    return [(posixpath.basename(path), _followed(path)) for path in found]


def _followed(path: str) -> Node:
    real = resolved(path)
    if not os.path.lexists(real):
        raise Refused(path)
    return read(real)


class Copying:
    """Copies into the chroot that it is in."""

    def __init__(self, owner: Owner | None, mode: int | None, *, keeps_owners: bool, literal: bool) -> None:
        self._owner = owner
        self._mode = mode
        self._keeps_owners = keeps_owners
        self._literal = literal

    def copy(self, name: str, node: Node, destination: str) -> None:
        path = os.path.normpath(f"/{destination.lstrip('/')}")
        into = path == "/" or destination.endswith(("/", "/."))
        self._directories(resolved(path if into else posixpath.dirname(path)))
        target = resolved(path)
        if node[0] != "d":
            if os.path.isdir(target):
                target = posixpath.join(target, name)
            self._directories(posixpath.dirname(target))
            self._place(target, node)
            return
        if self._literal and os.path.lexists(target) and name:
            target = posixpath.join(target, name)
        if os.path.lexists(target) and not _is_directory(target):
            raise Refused(target)
        if self._literal and not os.path.lexists(target):
            self._directories(posixpath.dirname(target))
            self._place(target, node)
            return
        self._directories(target)
        for child, inner in node[4].items():
            self._place(posixpath.join(target, child), inner)

    def _directories(self, path: str) -> None:
        make_directories(path, self._owner or (0, 0), 0o755 if self._mode is None else self._mode)

    def _place(self, path: str, node: Node) -> None:
        own = (node[1:3] if node[0] == "l" else node[2:4]) if self._keeps_owners else (0, 0)
        uid, gid = self._owner or own
        if node[0] != "d":
            if _is_directory(path):
                raise Refused(path)
            if os.path.lexists(path):
                os.unlink(path)
            write(path, ["l", uid, gid, node[3]] if node[0] == "l" else ["f", self._moded(node), uid, gid, node[4]])
            return
        if not os.path.lexists(path):
            os.mkdir(path)
        elif not _is_directory(path):
            raise Refused(path)
        for name, inner in node[4].items():
            self._place(posixpath.join(path, name), inner)
        os.chown(path, uid, gid)
        os.chmod(path, self._moded(node))

    def _moded(self, node: Node) -> int:
        return int(node[1]) if self._mode is None else self._mode


def make_directories(path: str, owner: Owner, mode: int) -> None:
    missing = []
    while not os.path.lexists(path):
        missing.append(path)
        path = posixpath.dirname(path)
    if not _is_directory(path):
        raise Refused(path)
    for new in reversed(missing):
        os.mkdir(new)
        os.chown(new, *owner)
        os.chmod(new, mode)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


# -- questions --------------------------------------------------------------------------------------------------------


def resolve(root: str, paths: list[str]) -> list[dict[str, Any]]:
    with inside(root):
        return [meaning(path) for path in paths]


def fill(directories: list[str], root: str) -> None:
    """Gives the empty directories all that `root` has."""
    with inside(root):
        node = read("/")
    for directory in directories:
        with inside(directory):
            write("/", node)


def copy(context: str, image: str | None, root: str, words: list[str], destination: str, *, literal: bool,
         owner: Owner | None, mode: int | None, keeps_owners: bool) -> str | None:
    """None, or what is refused."""
    if image is not None:
        fill([root], image)
    try:
        with inside(context):
            matches = [match for word in words for match in taken(word, literal=literal)]
        with inside(root):
            copying = Copying(owner, mode, keeps_owners=keeps_owners, literal=literal)
            for name, node in matches:
                copying.copy(name, node, destination)
    except Refused as refused:
        return str(refused)
    return None


def target(image: str, made: str, root: str, path: str, *, directory: bool) -> tuple[str | None, int]:
    """Makes a mount point in `root`, not in `made`; what is refused, and the error of opening the path."""
    fill([made, root], image)
    number = 0
    try:
        with inside(root):
            number = int(meaning(path)["errno"])
            real = resolved(path)
            new = not os.path.lexists(real)
            make_directories(real if directory and new else posixpath.dirname(real), (0, 0), 0o755)
            if new and not directory:
                write(real, ["f", 0o644, 0, 0, ""])
    except Refused as refused:
        return str(refused), number
    return None, number


ANSWERS: dict[str, Callable[..., Any]] = {"resolve": resolve, "copy": copy, "target": target}


def main() -> None:
    os.umask(0o22)
    for line in sys.stdin:
        print(json.dumps([ANSWERS[question.pop("ask")](**question) for question in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main()

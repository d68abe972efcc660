"""File trees as text, to build them and to compare them.

    d 0755 0:0 app                      directory
    f 0644 0:0 app/a.txt "text"         file
    l 0777 0:0 app/link -> target       symbolic link
    p 0644 0:0 app/pipe                 named pipe
    c 0644 0:0 app/null 1,3             device
    h app/b.txt = app/a.txt             one more name of a file

`cap` after a file's text stands for the capability CAP_NET_RAW. A line may end in ` @seconds`, its mtime.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator

from builder.layer.tree import FileTree

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_LINE = re.compile(rf"([dflpc]) (\d+) (\d+):(\d+) ({_QUOTED}|\S+)(?: -> (\S+)| (\d+),(\d+)| ({_QUOTED}))?"
                   r"( cap)?(?: @(\d+))?$")


def make_tree(root: str, text: str, *, default_mtime: int | None = None) -> None:
    """Write the tree that `text` describes into the existing directory `root`."""
    times: list[tuple[str, int]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("h "):
            name, first = line[2:].split(" = ")
            os.link(os.path.join(root, first), os.path.join(root, name), follow_symlinks=False)
            continue
        match = _LINE.match(line)
        assert match, line
        kind, mode, uid, gid, name, target, major, minor, content, capability, mtime = match.groups()
        path = os.path.join(root, json.loads(name) if name.startswith('"') else name)
        if kind == "d":
            os.makedirs(path, exist_ok=True)
        elif kind == "f":
            with open(path, "w") as file:
                file.write(json.loads(content))
        elif kind == "l":
            os.symlink(target, path)
        elif kind == "p":
            os.mkfifo(path)
        else:
            os.mknod(path, stat.S_IFCHR, os.makedev(int(major), int(minor)))
        os.chown(path, int(uid), int(gid), follow_symlinks=False)
        if kind != "l":
            os.chmod(path, int(mode, 8))
        if capability:
            os.setxattr(path, "security.capability", CAPABILITY)
        if mtime or default_mtime is not None:
            times.append((path, int(mtime or default_mtime or 0)))
    for path, seconds in reversed(times):
        os.utime(path, (seconds, seconds), follow_symlinks=False)


def dump_tree(tree: FileTree, *, mtimes: bool = False) -> Iterator[str]:
    """The lines that describe `tree`."""
    names: dict[tuple[int, int], str] = {}
    for entry in tree.walk(""):
        status = entry.stat
        if not entry.is_dir and status.st_nlink > 1:
            first = names.setdefault((status.st_dev, status.st_ino), entry.path)
            if first != entry.path:
                yield f"h {entry.path} = {first}"
                continue
        kind = {stat.S_IFDIR: "d", stat.S_IFREG: "f", stat.S_IFLNK: "l", stat.S_IFIFO: "p", stat.S_IFCHR: "c"}
        line = f"{kind[stat.S_IFMT(status.st_mode)]} {stat.S_IMODE(status.st_mode):04o} {status.st_uid}:{status.st_gid}"
        line += " " + (json.dumps(entry.path) if " " in entry.path else entry.path)
        if entry.is_link:
            line += f" -> {entry.readlink()}"
        elif entry.is_file:
            with open(f"{entry.root.path}/{entry.path}", errors="surrogateescape") as file:
                line += " " + json.dumps(file.read())
            if "security.capability" in os.listxattr(f"{entry.root.path}/{entry.path}"):
                line += " cap"
        elif stat.S_ISCHR(status.st_mode):
            line += f" {os.major(status.st_rdev)},{os.minor(status.st_rdev)}"
        yield line + (f" @{int(status.st_mtime)}" if mtimes else "")

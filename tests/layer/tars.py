"""Tars written by hand for the tests, and what came out of one."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

from builder.layer.overlay import is_opaque, is_whiteout
from builder.rooted.root import Root

TIME = 1_600_000_000


def member(
    kind: str,
    name: str,
    text: str = "",
    *,
    mode: int | None = None,
    owner: tuple[int, int] = (7, 8),
    pax: dict[str, str] | None = None,
    mtime: float = TIME,
) -> tuple[tarfile.TarInfo, bytes]:
    """kind: f(ile) d(irectory) l(ink) h(ard link) c(har) b(lock) p(ipe), or a raw type flag of one byte.

    `text` is a file's content, a link's target, a device's `major,minor`.
    """
    info = tarfile.TarInfo(name)
    info.uid, info.gid = owner
    info.mtime = mtime
    info.mode = mode if mode is not None else {"d": 0o750}.get(kind, 0o640)
    info.pax_headers = pax or {}
    data = b""
    types = {"f": b"0", "d": b"5", "l": b"2", "h": b"1", "c": b"3", "b": b"4", "p": b"6"}
    info.type = types.get(kind, kind.encode())
    if kind in ("l", "h"):
        info.linkname = text
    elif kind in ("c", "b"):
        info.devmajor, info.devminor = (int(part) for part in text.split(","))
    else:
        data = text.encode()
        info.size = len(data)
    return info, data


def tar(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data) if data else None)
    return out.getvalue()


def listing(root: Path) -> list[str]:
    """What is below `root`, one line a name: type, mode, owner, name, content or target; whiteouts and opaque marks."""
    lines = []
    names: dict[int, str] = {}
    for host in sorted(root.rglob("*")):
        name = str(host.relative_to(root))
        status = host.lstat()
        text = f"{stat.S_IMODE(status.st_mode):04o} {status.st_uid}:{status.st_gid} {name}"
        if is_whiteout(status):
            lines.append(f"whiteout {name}")
        elif host.is_symlink():
            lines.append(f"l {status.st_uid}:{status.st_gid} {name} -> {os.readlink(host)}")
        elif host.is_dir():
            lines.append(f"d {text}" + (" opaque" if is_opaque(Root(str(host)), "") else ""))
        elif status.st_nlink > 1 and (first := names.setdefault(status.st_ino, name)) != name:
            lines.append(f"h {name} = {first}")
        elif host.is_file():
            lines.append(f"f {text} {host.read_text()!r}")
        else:
            device = f" {os.major(status.st_rdev)},{os.minor(status.st_rdev)}" if not host.is_fifo() else ""
            lines.append(f"{'p' if host.is_fifo() else 'c' if host.is_char_device() else 'b'} {text}{device}")
    return lines

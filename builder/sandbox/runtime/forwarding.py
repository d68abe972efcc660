"""IPv4 forwarding of single interfaces, switched on while networks of steps need it, and off again after the last one.

One file names the interfaces that were switched on. Who needs them keeps it locked, shared; who finds that nobody does
puts back what was. A killed build lets go of its lock, and its spawner, which outlives it for a moment, does the rest.
"""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_SWITCH = "/proc/sys/net/ipv4/conf/{}/forwarding"


def hold(names: Iterable[str]) -> tuple[int, tuple[str, ...]]:
    """Has these interfaces forward until `release` of the descriptor; and those that would not do so by themselves.

    Raises OSError. The caller is in the network namespace that the interfaces are in.
    """
    with _Turn():
        fd = os.open(_file(), _FLAGS | os.O_CREAT, 0o600)
        fcntl.flock(fd, fcntl.LOCK_SH)
    try:
        with _Turn():
            switched = _noted(fd)
            for name in names:
                if not _forwards(name):
                    switched += () if name in switched else (name,)
                    os.pwrite(fd, "".join(f"{n}\n" for n in switched).encode(), 0)
                    _switch(name, "1")
        return fd, switched
    except OSError:
        release(fd)
        raise


def release(fd: int) -> None:
    """Lets go; nobody left who needs it, what `hold` switched on is switched off."""
    try:
        with _Turn():
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in _noted(fd):
                try:
                    _switch(name, "0")
                except FileNotFoundError:
                    # The interface is gone.
                    continue
            os.ftruncate(fd, 0)
            # Not from another namespace, where the name means another file.
            if os.path.samestat(os.stat(_file()), os.fstat(fd)):
                os.unlink(_file())
    except OSError:
        # Others need it, and will do this.
        pass
    finally:
        os.close(fd)


def sweep() -> None:
    """Puts back what killed builds have left switched on. Costs two system calls where there never was a network."""
    try:
        fd = os.open(_file(), _FLAGS)
    except OSError:
        return
    release(fd)


class _Turn:
    """A block that one process at a time is in: locks of the file itself are held for long."""

    def __enter__(self) -> None:
        self._fd = os.open("/run/builder-forwarding.lock", _FLAGS | os.O_CREAT, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _file() -> str:
    """One for each network namespace: names of interfaces mean nothing beyond it."""
    return f"/run/builder-forwarding-{os.stat('/proc/thread-self/ns/net').st_ino}"


def _noted(fd: int) -> tuple[str, ...]:
    text = os.pread(fd, 1 << 16, 0).decode(errors="replace")
    return tuple(name for name in text.split() if "/" not in name and name != "..")


def _forwards(name: str) -> bool:
    with open(_SWITCH.format(name)) as file:
        return file.read().strip() != "0"


def _switch(name: str, value: str) -> None:
    with open(_SWITCH.format(name), "w") as file:
        file.write(value)

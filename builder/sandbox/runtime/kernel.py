"""The system calls that Python's os module lacks.

Each raises OSError whose text names the call and its object. File descriptors are close-on-exec. Numbers are those
that all 64-bit architectures share, but for the few in `_OWN_NUMBERS`.
"""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_REC = 0x4000
MS_SLAVE = 0x80000
MNT_DETACH = 2

RDONLY = 0x01
NOSUID = 0x02
NODEV = 0x04
NOEXEC = 0x08
STRICTATIME = 0x20

CAP_SYS_ADMIN = 21

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2

_MS_PRIVATE = 0x40000
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = 0o2000000
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_KEYCTL_JOIN_SESSION_KEYRING = 1
_SECCOMP_SET_MODE_FILTER = 1
_SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _MOUNT_SETATTR = 428, 429, 430, 431, 432, 442
_OWN_NUMBERS = {
    "x86_64": {"pivot_root": 155, "keyctl": 250, "seccomp": 317, "capset": 126, "rt_sigaction": 13},
    "aarch64": {"pivot_root": 41, "keyctl": 219, "seccomp": 277, "capset": 91, "rt_sigaction": 134},
}
MACHINE = os.uname().machine

Options = tuple[tuple[str, str | None], ...]
"""Of a file system; None stands for an option without a value."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def failure(what: str) -> OSError:
    """The error that the last call set, with `what` in front of its text."""
    errno = ctypes.get_errno()
    return OSError(errno, f"{what}: {os.strerror(errno)}")


def syscall(what: str, number: int, *args: object) -> int:
    result: int = _libc.syscall(number, *args)
    if result < 0:
        raise failure(what)
    return result


def _own(name: str) -> int:
    try:
        return _OWN_NUMBERS[MACHINE][name]
    except KeyError:
        raise OSError(38, f"the built-in runtime does not know the machine `{MACHINE}`") from None


def unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise failure(f"unshare {flags:#x}")


def setns(fd: int, kind: int) -> None:
    if _libc.setns(fd, kind) != 0:
        raise failure("setns")


def sethostname(name: str) -> None:
    raw = os.fsencode(name)
    if _libc.sethostname(raw, ctypes.c_size_t(len(raw))) != 0:
        raise failure(f"sethostname `{name}`")


def prctl(option: int, *args: int) -> None:
    padded = (*args, 0, 0, 0, 0)[:4]
    if _libc.prctl(option, *(ctypes.c_ulong(a) for a in padded)) != 0:
        raise failure(f"prctl {option}")


def mount(source: bytes | None, target: str, kind: bytes | None, options: str = "", flags: int = 0) -> None:
    """mount(2), for what the newer calls below cannot do."""
    data = os.fsencode(options) or None
    if _libc.mount(source, os.fsencode(target), kind, ctypes.c_ulong(flags), data) != 0:
        raise failure(f"mount `{target}` ({options})" if options else f"mount `{target}`")


def make_slave() -> None:
    """From here on, mounts of this namespace are its own; those of the host still arrive."""
    mount(None, "/", None, flags=MS_REC | MS_SLAVE)


def umount(path: str, flags: int) -> None:
    if _libc.umount2(os.fsencode(path), flags) != 0:
        raise failure(f"umount `{path}`")


def pivot_root(new: str, old: str) -> None:
    syscall("pivot_root", _own("pivot_root"), os.fsencode(new), os.fsencode(old))


def new_filesystem(kind: str, options: Options = (), attributes: int = 0) -> int:
    """A file system of `kind`, mounted nowhere yet: the descriptor of its root."""
    fd = syscall(f"fsopen `{kind}`", _FSOPEN, kind.encode(), 1)
    try:
        for key, value in options:
            text = None if value is None else os.fsencode(value)
            how = _SET_FLAG if value is None else _SET_STRING
            if _libc.syscall(_FSCONFIG, fd, how, key.encode(), text, 0) < 0:
                raise _explained(fd, f"{kind} option `{key}`" + ("" if value is None else f" = `{value}`"))
        if _libc.syscall(_FSCONFIG, fd, _CREATE, None, None, 0) < 0:
            raise _explained(fd, f"create {kind}")
        return syscall(f"fsmount `{kind}`", _FSMOUNT, fd, 1, attributes)
    finally:
        os.close(fd)


def _explained(fd: int, what: str) -> OSError:
    """The failure together with what the kernel wrote into the file system context about it."""
    error = failure(what)
    try:
        words = os.read(fd, 1024).decode(errors="replace").strip()
    except OSError:
        return error
    return OSError(error.errno, f"{error.strerror} ({words})")


def clone_mount(path: str, *, at: int = -100, recursive: bool = True) -> int:
    """A private copy of what is mounted at `path` (or of a file or directory), mounted nowhere yet."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return syscall(f"open_tree `{path}`", _OPEN_TREE, at, os.fsencode(path), flags | (0 if path else _AT_EMPTY_PATH))


def set_attributes(fd: int, attributes: int, *, recursive: bool = False) -> None:
    """Adds mount attributes (RDONLY, NOSUID, ...) to the mount that `fd` is the root of."""
    words = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    syscall("mount_setattr", _MOUNT_SETATTR, fd, b"", flags, words, ctypes.c_size_t(32))


def make_private(fd: int) -> None:
    """Cuts the mount that `fd` is the root of, and all below it, off from those that it was copied from."""
    words = (ctypes.c_uint64 * 4)(0, 0, _MS_PRIVATE, 0)
    syscall("mount_setattr", _MOUNT_SETATTR, fd, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, words, ctypes.c_size_t(32))


def attach(mount: int, target: int) -> None:
    """Puts the detached `mount` over `target`."""
    syscall("move_mount", _MOVE_MOUNT, mount, b"", target, b"", 0x04 | 0x40)


def join_new_keyring() -> None:
    """Leaves the caller's session keyring behind."""
    syscall("keyctl", _own("keyctl"), _KEYCTL_JOIN_SESSION_KEYRING, None)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    low = 0xFFFFFFFF
    data = (ctypes.c_uint32 * 6)(effective & low, permitted & low, inheritable & low,
                                 effective >> 32, permitted >> 32, inheritable >> 32)
    syscall("capset", _own("capset"), header, data)


def reset_signals() -> None:
    """Gives every signal its default action, also those that glibc hides and leaves ignored in what it spawns."""
    number, default = _own("rt_sigaction"), bytes(32)
    for signal in range(1, 65):
        _libc.syscall(number, signal, default, None, ctypes.c_size_t(8))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def install_filter(program: bytes) -> None:
    """Installs a seccomp filter for good; `program` is an array of struct sock_filter."""
    syscall("seccomp", _own("seccomp"), _SECCOMP_SET_MODE_FILTER, _SECCOMP_FILTER_FLAG_SPEC_ALLOW,
             ctypes.byref(_Program(len(program) // 8, program)))

"""Making and opening the state folder: its format, its secret, and which xattr namespace its layers use."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

import msgspec

from builder.errors import StoreError
from builder.store.disk import StoreFull, is_full
from builder.store.exposure import check_owner, check_parents, check_root

FORMAT = 1
FOLDERS = ("blobs", "blobs/sha256", "layers", "mounts", "logs", "stat", "stage", "damaged", "locks")
SECRET_SIZE = 32
RESERVE_SIZE = 1 << 20
OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'
_KNOWN = frozenset({"format", "secret", "reserve", "oci-layout", "index.json", "index.db", "index.db-wal",
                    "index.db-shm", *(folder.partition("/")[0] for folder in FOLDERS)})


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    root: str
    secret: bytes
    xattr_prefix: Literal["trusted", "user"]


class NotAStore(StoreError):
    code = "store-foreign"

    def __init__(self, root: str, stranger: str) -> None:
        super().__init__(f"`{root}` is not empty and not a state folder of builder",
                         notes=(f"it contains `{stranger}`",), hint="name an empty or new folder with `--root`")


class StoreTooNew(StoreError):
    code = "store-too-new"

    def __init__(self, root: str, found: str) -> None:
        super().__init__(f"the state folder `{root}` has format {found}; this version of builder knows {FORMAT}",
                         hint="use the newer builder, or another folder with `--root`")


class WrongPrivileges(StoreError):
    code = "store-privileges"

    def __init__(self, root: str, made_for: str) -> None:
        maker = "root" if made_for == "trusted" else "a user without privileges"
        super().__init__(f"the layers in `{root}` were made by {maker} and cannot be used otherwise",
                         notes=(f"they carry overlayfs attributes in the `{made_for}.` namespace",),
                         hint="use another folder with `--root`")


class StoreInaccessible(StoreError):
    code = "store-access"

    def __init__(self, root: str, error: OSError) -> None:
        super().__init__(f"cannot use the state folder `{root}`", cause=str(error),
                         hint="name a folder that you own with `--root`")


def open_layout(root: str) -> Layout:
    """The layout at `root`, made if it is not there. Raises StoreError. Safe when several processes make it at once.

    Nobody else can change what it holds, nor put something else in its place: StoreExposed otherwise.
    """
    root = os.path.realpath(root)
    try:
        check_parents(root)
        if not os.path.lexists(os.path.join(root, "format")):
            _create(root)
        check_root(root, FOLDERS)
        header = _read(os.path.join(root, "format"))
        secret = _read(os.path.join(root, "secret"))
    except OSError as error:
        raise (StoreFull(root) if is_full(error) else StoreInaccessible(root, error)) from error
    made_for = _parse_format(root, header)
    prefix = usable_xattr_prefix()
    if made_for != prefix:
        raise WrongPrivileges(root, made_for)
    if len(secret) != SECRET_SIZE:
        raise StoreError(f"`{root}/secret` is damaged", hint="delete the folder's `stat` and `secret` to go on")
    return Layout(root=root, secret=secret, xattr_prefix=prefix)


def usable_xattr_prefix() -> Literal["trusted", "user"]:
    """`trusted` where this process may set trusted.* attributes (root of the initial user namespace), else `user`."""
    if os.geteuid() != 0:
        return "user"
    with contextlib.suppress(OSError):
        if _read("/proc/self/uid_map").split() != [b"0", b"0", b"4294967295"]:
            return "user"
    return "trusted"


def write_file(path: str, data: bytes, *, sync: bool = True) -> None:
    """Replaces the file at `path` whole: readers see the old bytes or the new, with `sync` even after a power cut."""
    scratch = f"{path}.{os.urandom(6).hex()}"
    try:
        _write_new(scratch, data, sync=sync)
        os.rename(scratch, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(scratch)
        raise


def fill_reserve(root: str) -> None:
    """Takes a megabyte for GC to give back on a full disk: without any space not even the index can be written."""
    fd = os.open(os.path.join(root, "reserve"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, RESERVE_SIZE)
    finally:
        os.close(fd)


def use_reserve(root: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(root, "reserve"))


def _create(root: str) -> None:
    os.makedirs(root, mode=0o700, exist_ok=True)
    check_owner(root, root)
    for name in os.listdir(root):
        if name.partition(".")[0] not in _KNOWN and name not in _KNOWN:
            raise NotAStore(root, name)
    os.chmod(root, 0o700)
    for folder in FOLDERS:
        os.makedirs(os.path.join(root, folder), mode=0o700, exist_ok=True)
    _write_once(os.path.join(root, "secret"), os.urandom(SECRET_SIZE))
    _write_once(os.path.join(root, "oci-layout"), OCI_LAYOUT)
    fill_reserve(root)
    # Last: a folder without it was not finished, and finishing it is the same as making it.
    _write_once(os.path.join(root, "format"), f"builder {FORMAT}\nxattr {usable_xattr_prefix()}\n".encode())


def _write_once(path: str, data: bytes) -> None:
    """Makes the file with its whole content, or leaves the one that is there."""
    scratch = f"{path}.{os.urandom(6).hex()}"
    _write_new(scratch, data)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        os.unlink(scratch)


def _write_new(path: str, data: bytes, *, sync: bool = True) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise


def _parse_format(root: str, header: bytes) -> str:
    words = header.split()
    if len(words) != 4 or words[0] != b"builder" or words[2] != b"xattr" or not words[1].isdigit():
        raise StoreError(f"`{root}/format` is damaged")
    if int(words[1]) > FORMAT:
        raise StoreTooNew(root, words[1].decode())
    return words[3].decode(errors="replace")


def _read(path: str) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 4096)
    finally:
        os.close(fd)

"""Overlays: stacks of layer directories as one mount, and the stub layer that gives missing mount points a place.

Options keep layers plain, so that an upper directory is a layer independent of what lay below it: no redirects, no
metadata-only copies, no index. `volatile` leaves out syncs: what a crash cuts short is thrown away anyway.
"""

from __future__ import annotations

import os

from builder.sandbox.runtime import kernel, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.sandbox.runtime.wire import OverlayDocument

_OPTIONS = (("redirect_dir", "off"), ("metacopy", "off"), ("index", "off"))
_STRING_LIMIT = 255
"""fsconfig takes no longer strings."""


def appends_lowers() -> bool:
    """Whether the kernel takes lower directories one by one (6.7), without a limit on their text."""
    try:
        os.close(kernel.new_filesystem("overlay", (("lowerdir+", "/proc"), ("lowerdir+", "/sys"))))
    except OSError as error:
        return "lowerdir+" not in str(error)
    return True


class Mounter:
    """Mounts overlays below `scratch_dir`, a private tmpfs."""

    def __init__(self, scratch_dir: str, *, userxattr: bool, appends: bool) -> None:
        self._scratch_dir = scratch_dir
        self._userxattr = userxattr
        self._appends = appends
        self._serial = 0
        self.empty_dir = f"{scratch_dir}/empty"

    def mount(self, overlay: OverlayDocument, *, stub_dir: str = "") -> int:
        """A descriptor of the mounted overlay's root, to be attached. `stub_dir` goes on top of the lower ones."""
        lowers = [d for d in (stub_dir, *reversed(overlay["lowers"])) if d]
        upper, work = overlay["upper"], overlay["work"]
        while len(lowers) < (1 if upper else 2):
            lowers.append(self.empty_dir)
        held: list[int] = []
        try:
            if not self._appends:
                return self._mount_by_page([_short(d, held, 0) for d in lowers], upper, work, held)
            options: list[tuple[str, str | None]] = [("source", "overlay"), *_OPTIONS]
            options += [("lowerdir+", _short(d, held)) for d in lowers]
            if upper:
                options += [("upperdir", _short(upper, held)), ("workdir", _short(work, held)), ("volatile", None)]
            if self._userxattr:
                options.append(("userxattr", None))
            return kernel.new_filesystem("overlay", tuple(options))
        finally:
            for fd in held:
                os.close(fd)

    def _mount_by_page(self, lowers: list[str], upper: str, work: str, held: list[int]) -> int:
        """By mount(2), whose options must fit a page: names are those of descriptors, 16 bytes a layer."""
        options = [f"{key}={value}" for key, value in _OPTIONS] + ["lowerdir=" + ":".join(lowers)]
        if upper:
            options += [f"upperdir={_short(upper, held, 0)}", f"workdir={_short(work, held, 0)}", "volatile"]
        if self._userxattr:
            options.append("userxattr")
        self._serial += 1
        target = f"{self._scratch_dir}/overlay{self._serial}"
        os.mkdir(target)
        kernel.mount(b"overlay", target, b"overlay", ",".join(options))
        return os.open(target, os.O_PATH | os.O_CLOEXEC)


def forget_volatile(work: str) -> None:
    """Lets `work` be mounted again after an unmount that wrote nothing."""
    marker_dir = f"{work}/work/incompat/volatile"
    for name in os.listdir(marker_dir):
        os.unlink(f"{marker_dir}/{name}")
    os.rmdir(marker_dir)


def _short(path: str, held: list[int], limit: int = _STRING_LIMIT) -> str:
    """A name for `path` of at most `limit` bytes, else that of a descriptor, which is added to `held`."""
    if len(os.fsencode(path)) <= limit:
        return path
    held.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    return f"/proc/self/fd/{held[-1]}"


class StubLayer:
    """A directory that holds missing mount points, to lie between a root's lower directories and its upper one.

    The overlay then shows them, and neither the upper directory nor the layers get a trace of them. Directories that
    exist are repeated with their attributes, as an overlay shows those of the topmost layer that has the directory.
    """

    def __init__(self, stub_dir: str) -> None:
        self._stub_dir = stub_dir
        self._repeated: dict[str, os.stat_result] = {}
        self.used = False

    def add(self, root: int, place: paths.Place, *, directory: bool) -> None:
        """Makes what `place`, found in `root`, lacks; the last name becomes a directory or an empty file."""
        if not self.used:
            os.mkdir(self._stub_dir)
            self._repeated[self._stub_dir] = _copy_attributes(root, ".", self._stub_dir)
            self.used = True
        path = self._stub_dir
        for depth, name in enumerate(place.found, 1):
            path += "/" + name
            if not os.path.lexists(path):
                os.mkdir(path)
                self._repeated[path] = _copy_attributes(root, "/".join(place.found[:depth]), path)
        for name in place.missing[:-1]:
            path += "/" + name
            if not os.path.lexists(path):
                os.mkdir(path, 0o755)
        path += "/" + place.missing[-1]
        if os.path.lexists(path):
            return
        if directory:
            os.mkdir(path, 0o755)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))

    def finish(self) -> None:
        """Gives the repeated directories their times back; call it after the last `add`."""
        for path, status in self._repeated.items():
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_attributes(root: int, name: str, path: str) -> os.stat_result:
    # `name` is free of links (see paths.walk), and nobody else changes this root yet.
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        status = os.fstat(fd)
        os.chown(path, status.st_uid, status.st_gid)
        os.chmod(path, status.st_mode & 0o7777)
        for key in os.listxattr(fd):
            if key.startswith(("trusted.overlay.", "user.overlay.")):
                continue
            try:
                os.setxattr(path, key, os.getxattr(fd, key))
            except OSError:
                # A tmpfs takes user.* only since 6.6, and a user namespace sets no trusted.*.
                continue
        return status
    finally:
        os.close(fd)

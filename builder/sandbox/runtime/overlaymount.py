"""Overlays: stacks of layer directories as one mount, and the stub layer that gives missing mount points a place.

Options keep layers plain, so that an upper directory is a layer independent of what lay below it: no redirects, no
metadata-only copies, no index. `volatile` leaves out syncs: what a crash cuts short is thrown away anyway. With
`userxattr` redirects and metadata-only copies are off and must not be named, as "off" may mean "follow".
"""

from __future__ import annotations

import os

from builder.rooted import resolving
from builder.sandbox.runtime import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.sandbox.runtime.wire import OverlayDocument

_OPTIONS: kernel.Options = (("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"))
_USER_OPTIONS: kernel.Options = (("index", "off"), ("userxattr", None))
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

    def __init__(self, scratch_dir: str, *, userxattr: bool, appends: bool, attributes: int) -> None:
        self._scratch_dir = scratch_dir
        self._attributes = attributes
        self._options = _USER_OPTIONS if userxattr else _OPTIONS
        self._appends = appends
        self._serial = 0
        self._empty_dirs = [f"{scratch_dir}/empty", f"{scratch_dir}/empty2"]
        """To be made by the caller: an overlay without an upper directory needs two lower ones."""

    def mount(self, overlay: OverlayDocument, *, above: str = "", below: str = "") -> int:
        """A descriptor of the mounted overlay's root, to be attached; with more directories round the lower ones."""
        # The kernel takes no directory twice; an image may have one layer twice, of which the topmost hides the others.
        lowers = list(dict.fromkeys(d for d in (above, *reversed(overlay["lowers"]), below) if d))
        lowers += self._empty_dirs[len(lowers):1 if overlay["upper"] else 2]
        held: list[int] = []
        limit = _STRING_LIMIT if self._appends else 0
        try:
            shown = [_short(d, held, limit) for d in lowers]
            options: list[tuple[str, str | None]] = [("source", "overlay"), *self._options]
            if overlay["upper"]:
                forget_volatile(overlay["work"])
                options += [("upperdir", _short(overlay["upper"], held, limit)),
                            ("workdir", _short(overlay["work"], held, limit)), ("volatile", None)]
            if self._appends:
                options += [("lowerdir+", name) for name in shown]
                return kernel.new_filesystem("overlay", tuple(options), self._attributes)
            return self._mount_by_page((*options[1:], ("lowerdir", ":".join(shown))))
        except OSError as error:
            raise OSError(error.errno, f"overlay cannot be mounted: {error.strerror}", error.filename) from None
        finally:
            for fd in held:
                os.close(fd)

    def _mount_by_page(self, options: kernel.Options) -> int:
        """By mount(2), whose options must fit a page: directories go by their descriptors, 16 bytes each."""
        self._serial += 1
        target = f"{self._scratch_dir}/overlay{self._serial}"
        os.mkdir(target)
        text = ",".join(key if value is None else f"{key}={value}" for key, value in options)
        kernel.mount(b"overlay", target, b"overlay", text)
        fd = os.open(target, os.O_PATH | os.O_CLOEXEC)
        kernel.set_attributes(fd, self._attributes)
        return fd


def forget_volatile(work: str) -> None:
    """Lets `work` be mounted again: a volatile mount leaves a mark there, as what it wrote may not be on disk yet.

    That is for who fears a crash in between; here a later container just goes on with the same upper directory.
    """
    marker_dir = os.path.join(work, "work", "incompat", "volatile")
    if not os.path.isdir(marker_dir):
        return
    for name in os.listdir(marker_dir):
        os.unlink(f"{marker_dir}/{name}")
    os.rmdir(marker_dir)


def _short(path: str, held: list[int], limit: int) -> str:
    """A name for `path` of at most `limit` bytes, else that of a descriptor, which is added to `held`."""
    if len(os.fsencode(path)) <= limit:
        return path
    held.append(os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    return f"/proc/self/fd/{held[-1]}"


def lay_ground(ground_dir: str, targets: list[tuple[str, bool]]) -> None:
    """Fills a directory that is to lie below a root with mount points: paths, and whether each is a directory.

    The overlay then shows those that are missing, and neither the upper directory nor the layers get a trace of them.
    Whatever the layers have there hides them, and directories that exist keep their attributes.
    """
    os.mkdir(ground_dir, 0o755)
    for target, directory in targets:
        *parents, name = os.path.normpath(f"/{target}").lstrip("/").split("/")
        path = ground_dir
        try:
            for parent in parents:
                path += f"/{parent}"
                if not os.path.isdir(path):
                    os.mkdir(path, 0o755)
            if directory:
                os.mkdir(f"{path}/{name}", 0o755)
            else:
                os.close(os.open(f"{path}/{name}", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        except (FileExistsError, IsADirectoryError, NotADirectoryError):
            # Another target is the same or lies in the way; mounting will tell.
            continue


class StubLayer:
    """A directory with the mount points that are missing nevertheless, to lie just below a root's upper directory.

    For those that links lead to, or that are hidden by what a layer removed. Here directories that exist are repeated
    with their attributes, as an overlay shows those of the topmost layer that has the directory.
    """

    def __init__(self, stub_dir: str) -> None:
        self._stub_dir = stub_dir
        self._repeated: dict[str, os.stat_result] = {}
        self.used = False

    def add(self, root: int, place: resolving.Place, *, directory: bool) -> None:
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
    # `name` is free of links (see resolving.walk), and nobody else changes this root yet.
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        status = os.fstat(fd)
        try:
            os.chown(path, status.st_uid, status.st_gid)
        except OSError:
            # An owner that the user namespace does not have; a copy-up of this directory would fail as well.
            pass
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

"""The mounts of one container, made in its own mount namespace: root, system file systems, and what the step asked for.

Targets are resolved inside the root only (`builder.rooted`). A missing one is provided by a layer below or above the
others (`overlay`), except /proc, /sys and /dev, which stay in the image as they do with BuildKit, and targets inside
other mounts, which are made there.
"""

from __future__ import annotations

import _socket
import errno
import os

from builder.rooted import resolving
from builder.sandbox.runtime import kernel, system
from builder.sandbox.runtime.overlaymount import Mounter, StubLayer, lay_ground

TYPE_CHECKING = False
if TYPE_CHECKING:
    from builder.sandbox.runtime.cgroups import Group
    from builder.sandbox.runtime.host import Host
    from builder.sandbox.runtime.wire import ContainerDocument, MountDocument

_SYSTEM_DIRS = ("proc", "dev", "sys")


class Tree:
    """The mounts of one container in the making; `root` is a descriptor of its root directory."""

    def __init__(self, host: Host, container: ContainerDocument, *, sys_template: str,
                 group: Group | None) -> None:
        self._host = host
        self._container = container
        self._sys_template = sys_template
        self._group = group
        self._scratch_dir = host.scratch_dir
        self._nodev = 0 if container["privileged"] else host.nodev
        self._mounter = Mounter(self._scratch_dir, userxattr=host.userxattr, appends=host.appends_lowers,
                                attributes=self._nodev)
        self._sources: list[int] = []
        self.root = -1
        self.listeners: list[tuple[int, _socket.socket]] = []
        """Sockets that the step connects to, with the number of their mount."""

    def prepare(self) -> None:
        """Mounts the root where nobody else sees it, and opens what is to be mounted in it."""
        scratch = kernel.new_filesystem("tmpfs", (("source", "tmpfs"), ("mode", "0700")))
        _attach_at(scratch, self._scratch_dir)
        os.close(scratch)
        for name in ("empty", "empty2", "root", "files"):
            os.mkdir(f"{self._scratch_dir}/{name}", 0o755)
        self._sources = [self._open_source(number, mount) for number, mount in enumerate(self._container["mounts"])]
        self._mount_root()

    def complete(self) -> None:
        """Mounts everything else in the root, which `enter` then makes the root of this process."""
        system.mount_system(self.root, self._host, self._container, self._group, sys_template=self._sys_template)
        for mount, source in zip(self._container["mounts"], self._sources, strict=True):
            self._mount_source(mount, source)
        self._make_working_directory(self.root, uid=0, gid=0)

    def expose(self, binds_dir: str) -> None:
        """Instead of `complete`: puts what is to be mounted into `binds_dir`, by number, for an OCI runtime."""
        os.mkdir(binds_dir, 0o755)
        top = os.open(binds_dir, os.O_PATH | os.O_CLOEXEC)
        for number, source in enumerate(self._sources):
            place = resolving.walk(top, str(number))
            spot = resolving.make_target(place, directory=resolving.is_directory(source))
            kernel.attach(source, spot)
            os.close(spot)
        os.close(top)

    def enter(self) -> None:
        """Makes the tree the root of this process and lets go of everything else."""
        os.fchdir(self.root)
        kernel.pivot_root(".", ".")
        kernel.umount(".", kernel.MNT_DETACH)
        os.chdir("/")
        # What the host mounts below a directory that the step was given stays the host's.
        kernel.make_private(self.root)
        if self._container["readonly_root"]:
            kernel.set_attributes(self.root, kernel.RDONLY)
        os.close(self.root)

    def _mount_root(self) -> None:
        overlay, ground_dir = self._container["root"], f"{self._scratch_dir}/ground"
        if overlay["upper"] and not overlay["work"]:
            self._bind_root(overlay["upper"])
            return
        targets = [mount["target"] for mount in self._container["mounts"]]
        lay_ground(ground_dir, list(zip(targets, map(resolving.is_directory, self._sources), strict=True)))
        root = self._mounter.mount(overlay, below=ground_dir)
        if overlay["upper"]:
            self._make_working_directory(root, uid=self._container["uid"], gid=self._container["gid"])
        stubs = self._plan_stubs(root)
        if stubs.used:
            os.close(root)
            root = self._mounter.mount(overlay, above=f"{self._scratch_dir}/stubs", below=ground_dir)
        _attach_at(root, f"{self._scratch_dir}/root")
        self.root = root

    def _bind_root(self, path: str) -> None:
        """A root that is a plain directory (see `builder.sandbox.nooverlay`): mount points are made in it."""
        self.root = kernel.clone_mount(path, recursive=False)
        if self._nodev:
            kernel.set_attributes(self.root, self._nodev)
        self._make_working_directory(self.root, uid=self._container["uid"], gid=self._container["gid"])
        _attach_at(self.root, f"{self._scratch_dir}/root")

    def _make_working_directory(self, root: int, *, uid: int, gid: int) -> None:
        """Makes a missing one, as BuildKit does: in the image it is the user's, in a mount it is root's."""
        path = self._container["cwd"]
        try:
            os.close(resolving.make_directories(resolving.walk(root, path), uid=uid, gid=gid))
        except OSError as error:
            raise OSError(error.errno, f"working directory `{path}`: {os.strerror(error.errno or 0)}") from None

    def _plan_stubs(self, root: int) -> StubLayer:
        stubs = StubLayer(f"{self._scratch_dir}/stubs")
        covered: list[tuple[str, ...]] = [(name,) for name in _SYSTEM_DIRS]
        for mount, source in zip(self._container["mounts"], self._sources, strict=True):
            place = resolving.walk(root, mount["target"])
            inside = any(place.names[: len(other)] == other for other in covered)
            if place.missing and not inside:
                stubs.add(root, place, directory=resolving.is_directory(source))
            os.close(place.fd)
            covered.append(place.names)
        if not self._container["root"]["upper"]:
            for name in _SYSTEM_DIRS:
                place = resolving.walk(root, name)
                if place.missing:
                    stubs.add(root, place, directory=True)
                os.close(place.fd)
        stubs.finish()
        return stubs

    def _open_source(self, number: int, mount: MountDocument) -> int:
        """What is to be mounted, as a detached mount."""
        match mount["type"]:
            case "bind":
                fd = _open_bind(mount)
            case "overlay":
                fd = self._open_subpath(number, mount)
            case "tmpfs":
                size = (("size", str(mount["size"])),) if mount["size"] else ()
                options = (("source", "tmpfs"), ("mode", f"{mount['mode']:o}"), *size)
                return kernel.new_filesystem("tmpfs", options, kernel.NOSUID | self._nodev)
            case "file":
                return self._open_file(f"{self._scratch_dir}/files/{number}", mount)
            case "socket":
                return self._open_socket(f"{self._scratch_dir}/files/{number}", number, mount)
            case other:
                raise OSError(errno.EINVAL, f"unknown kind of mount `{other}`")
        attributes = self._nodev | (kernel.RDONLY if mount["readonly"] else 0)
        if attributes:
            kernel.set_attributes(fd, attributes, recursive=True)
        return fd

    def _open_subpath(self, number: int, mount: MountDocument) -> int:
        whole = self._mounter.mount(mount["overlay"])
        place = _existing(whole, mount["subpath"])
        if not place.found:
            os.close(place.fd)
            return whole
        # Only a mount in this namespace can be cloned, so the whole is attached where `enter` will leave it behind.
        aside_dir = f"{self._scratch_dir}/files/{number}"
        os.mkdir(aside_dir)
        _attach_at(whole, aside_dir)
        fd = kernel.clone_mount("", at=place.fd, recursive=False)
        os.close(place.fd)
        os.close(whole)
        return fd

    def _open_file(self, path: str, mount: MountDocument) -> int:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(fd, "wb", buffering=0) as file:
            left = memoryview(mount["content"])
            while left:
                left = left[file.write(left) or 0:]
            os.fchown(fd, mount["uid"], mount["gid"])
            os.fchmod(fd, mount["mode"] & 0o7777)
        source = kernel.clone_mount(path, recursive=False)
        noexec = 0 if mount["mode"] & 0o111 else kernel.NOEXEC
        kernel.set_attributes(source, kernel.RDONLY | kernel.NOSUID | kernel.NODEV | noexec)
        return source

    def _open_socket(self, path: str, number: int, mount: MountDocument) -> int:
        # A socket of the step's own, as the owner and mode of the host's are not ours to change; the caller relays.
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        listener.bind(path)
        os.chown(path, mount["uid"], mount["gid"])
        os.chmod(path, mount["mode"])
        listener.listen(16)
        self.listeners.append((number, listener))
        return kernel.clone_mount(path, recursive=False)

    def _mount_source(self, mount: MountDocument, source: int) -> None:
        target = mount["target"]
        place = resolving.walk(self.root, target)
        if not place.names or place.names[0] == "proc":
            where = "inside /proc" if place.names else "the root"
            raise OSError(errno.EINVAL, f"`{target}` cannot be mounted because it is {where}")
        directory = resolving.is_directory(source)
        spot = resolving.make_target(place, directory=directory)
        if resolving.is_directory(spot) != directory:
            kinds = ("a directory", "a file") if directory else ("a file", "a directory")
            raise OSError(errno.ENOTDIR, f"cannot mount {kinds[0]} over `{target}`, which is {kinds[1]}")
        kernel.attach(source, spot)
        os.close(spot)
        os.close(source)


def _attach_at(mount: int, path: str) -> None:
    """Puts the detached `mount` over the directory `path`; its descriptor stays the caller's."""
    spot = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    kernel.attach(mount, spot)
    os.close(spot)


def _open_bind(mount: MountDocument) -> int:
    """A clone of what the mount names in its source, which alone the host's rules lead to."""
    try:
        top = os.open(mount["source"], os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, f"bind mount source `{mount['source']}`: {os.strerror(error.errno or 0)}") from None
    place = _existing(top, mount["subpath"])
    try:
        return kernel.clone_mount("", at=place.fd, recursive=mount["recursive"])
    finally:
        os.close(place.fd)
        os.close(top)


def _existing(root: int, path: str) -> resolving.Place:
    place = resolving.walk(root, path)
    if place.missing:
        os.close(place.fd)
        raise FileNotFoundError(errno.ENOENT, f"`{path}`: {os.strerror(errno.ENOENT)}")
    return place

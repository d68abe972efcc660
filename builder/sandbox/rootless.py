"""Working without root: a user namespace in which this process is uid 0.

Two rungs: with subordinate ids (/etc/subuid and newuidmap) every id that an image uses exists; with a single id only
root's does, and a step cannot become or own anything else. Which one it is shows in /proc/self/uid_map.
"""

from __future__ import annotations

import os

from builder.errors import SandboxError

MARK = "BUILDER_ROOTLESS"
"""Set in the environment to the original uid once `enter` has been here."""

_RESTRICTIONS = (
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1",
     "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
)
"""Settings that forbid user namespaces: file, forbidding value, what an administrator may do about it."""


class UserNamespaceForbidden(SandboxError):
    """This user cannot have a user namespace."""

    code = "userns-forbidden"

    def __init__(self, what: str, errno: int) -> None:
        found = restrictions()
        notes = tuple(f"`{path}` is {value}" for path, value, _ in found)
        if not found:
            notes = ("a container's seccomp or AppArmor profile probably restricts user namespaces",)
        hint = f"run as root, or as root: `{found[0][2]}`" if found else "run as root"
        super().__init__(f"{what}: {os.strerror(errno).lower()}", notes=notes, hint=hint)


class NotAlone(SandboxError):
    """A process with several threads cannot enter a user namespace."""

    code = "userns-threads"

    def __init__(self) -> None:
        super().__init__(
            "a process with several threads cannot enter a user namespace",
            hint="call `builder.sandbox.rootless.enter()` before the first thread starts, or run as root",
        )


class NeedsRoot(SandboxError):
    """A sandbox was opened by a user who is not root, outside a user namespace."""

    code = "sandbox-needs-root"

    def __init__(self) -> None:
        super().__init__(
            "a step needs root, or a user namespace in which this process is root",
            hint="call `builder.sandbox.rootless.enter()` before anything else; the `builder` command does so itself",
        )


def is_inside() -> bool:
    """Whether `enter` has made this process root of a user namespace."""
    return MARK in os.environ and os.geteuid() == 0


def restrictions() -> list[tuple[str, str, str]]:
    """The settings of this host that forbid user namespaces: file, value, remedy."""
    found = []
    for path, forbidding, remedy in _RESTRICTIONS:
        try:
            with open(path) as file:
                value = file.read().strip()
        except OSError:
            continue
        if value == forbidding:
            found.append((path, value, remedy))
    return found


def enter() -> None:
    """Makes this process root of a user namespace and of a mount namespace in it; nothing if it is root already.

    Idempotent, and costs no new interpreter. Raises UserNamespaceForbidden, and NotAlone in a process with threads.
    """
    if os.geteuid() == 0:
        return
    from builder.sandbox.runtime import kernel

    uid, gid = os.geteuid(), os.getegid()
    uids, gids = subordinate_ids("uid"), subordinate_ids("gid")
    mapper = _Mapper(os.getpid(), (uid, uids), (gid, gids)) if uids and gids else None
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    except OSError as error:
        if mapper is not None:
            mapper.abandon()
        if error.errno == 22:
            raise NotAlone from None
        raise UserNamespaceForbidden("unshare CLONE_NEWUSER", error.errno or 0) from None
    if mapper is None or not mapper.map():
        map_single(uid, gid)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    if mapper is not None and _may_set_groups():
        os.setgroups([])
    os.environ[MARK] = str(uid)


def subordinate_ids(kind: str) -> tuple[tuple[int, int], ...]:
    """This user's (first, count) ranges of `/etc/sub<kind>`; empty when newuidmap and newgidmap are not there."""
    folders = os.get_exec_path()
    if not all(any(os.access(f"{d}/{tool}", os.X_OK) for d in folders) for tool in ("newuidmap", "newgidmap")):
        return ()
    names = {str(os.getuid())}
    import pwd

    try:
        names.add(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        pass
    ranges = []
    try:
        with open(f"/etc/sub{kind}") as file:
            for line in file:
                name, _, numbers = line.strip().partition(":")
                first, _, count = numbers.partition(":")
                if name in names and first.isdigit() and count.isdigit() and int(count):
                    ranges.append((int(first), int(count)))
    except OSError:
        return ()
    # A user may be listed by name and by number; newuidmap refuses ranges that overlap.
    return tuple(dict.fromkeys(ranges))


class _Mapper:
    """A child outside the namespace-to-be, which alone can have newuidmap write the maps of `pid`."""

    def __init__(self, pid: int, users: tuple[int, tuple[tuple[int, int], ...]],
                 groups: tuple[int, tuple[tuple[int, int], ...]]) -> None:
        reader, self._writer = os.pipe()
        self._child = os.fork()
        if self._child:
            os.close(reader)
            return
        os.close(self._writer)
        status = 1
        try:
            if os.read(reader, 1):
                status = _run("newuidmap", pid, *users) or _run("newgidmap", pid, *groups)
        finally:
            os._exit(status)

    def map(self) -> bool:
        """Whether the maps have been written."""
        os.write(self._writer, b"!")
        return self._finish() == 0

    def abandon(self) -> None:
        self._finish()

    def _finish(self) -> int:
        os.close(self._writer)
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])


def _run(command: str, pid: int, own: int, ranges: tuple[tuple[int, int], ...]) -> int:
    arguments = [command, str(pid), "0", str(own), "1"]
    inside = 1
    for first, count in ranges:
        arguments += [str(inside), str(first), str(count)]
        inside += count
    null = ((os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),)
    child = os.posix_spawnp(command, arguments, os.environ, file_actions=null)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def map_single(uid: int, gid: int) -> None:
    """Makes the ids that were `uid` and `gid` outside the only ones of the calling process's new user namespace."""
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError as error:
        raise UserNamespaceForbidden(f"write `/proc/self/{name}`", error.errno or 0) from None


def _may_set_groups() -> bool:
    with open("/proc/self/setgroups") as file:
        return file.read().strip() == "allow"

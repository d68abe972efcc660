"""The first process of a container: from just forked to the step's own program.

It runs as process 1 of a new PID namespace. Whatever fails before the program starts is sent to the caller over the
control socket, which the program's start closes. Nothing may be imported here later: the root has changed by then.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import marshal
import os
import resource
import stat
import sys

from builder.sandbox.runtime import facts, kernel, landlock
from builder.sandbox.runtime.mounts import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from builder.sandbox.runtime.cgroups import Group
    from builder.sandbox.runtime.host import Host
    from builder.sandbox.runtime.wire import ContainerDocument

NOT_FOUND, NOT_PERMITTED, NOT_STARTED, NOT_ALLOWED = 127, 126, 255, 1
"""Statuses of a program that is not there, may not be run, or that the kernel could not start (as runc: 255)."""

_PASSWD_LIMIT = 1 << 20

_TIOCSCTTY, _TIOCSPTLCK, _TIOCGPTN, _SIOCSIFFLAGS, _IFF_UP = 0x540E, 0x40045431, 0x80045430, 0x8914, 1


class NoProgram(Exception):
    """The step's program cannot be started: the step's own failure, with the status that stands for it."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def run(container: ContainerDocument, host: Host, group: Group | None, control: _socket.socket,
        stdio: tuple[int, int, int], sys_template: str = "") -> NoReturn:
    """Becomes the container's program, with copies of `stdio` as standard streams.

    `sys_template` is a /sys that fits the container's network, or "".
    """
    status = NOT_STARTED
    try:
        if container["apparmor"] and not container["privileged"]:
            _enter_profile(container["apparmor"])
        _isolate(container, host, group)
        own_view = (container["privileged"] or group is not None
                    or bool(container["masked"] or container["unmasked"]))
        tree = Tree(host, container, sys_template="" if own_view else sys_template, group=group)
        tree.prepare()
        tree.complete()
        tree.enter()
        for number, listener in tree.listeners:
            send(control, ("socket", number), listener.fileno())
        connect(container, control, stdio)
        if container["terminal"]:
            _bind_console()
        _let_go(control)
        if host.has_scopes and not container["privileged"]:
            landlock.enter_scope()
        _confine(container, host)
        _execute(container, host)
    except NoProgram as error:
        status = error.status
        _say(f"{error}\n")
    except OSError as error:
        send(control, ("error", error.errno or 0, error.strerror or str(error), error.filename or ""))
    except ValueError as error:
        send(control, ("error", errno.EINVAL, str(error), ""))
    except BaseException as error:
        send(control, ("bug", f"{type(error).__name__}: {error}"))
    finally:
        # Also when a profile refuses even saying what went wrong.
        os._exit(status)


def send(control: _socket.socket, message: tuple[str | int, ...], *fds: int) -> None:
    """Tells the caller something, with descriptors for it to keep."""
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds))]
    control.sendmsg([marshal.dumps(message)], rights if fds else [])


def _say(text: str) -> None:
    os.write(2, os.fsencode(text))


def _isolate(container: ContainerDocument, host: Host, group: Group | None) -> None:
    if group is not None:
        group.join()
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    network = container["network"]
    if network == "none":
        flags |= kernel.CLONE_NEWNET
    elif network != "host":
        _join_network(network)
    if host.cgroup_namespaces:
        flags |= kernel.CLONE_NEWCGROUP
    kernel.unshare(flags)
    kernel.sethostname(container["hostname"])
    if network == "none":
        _raise_loopback()
    try:
        kernel.join_new_keyring()
    except OSError:
        # A quota on keys, or a kernel without them. Steps are refused keyctl by the filter anyway.
        pass
    os.umask(0)


def _enter_profile(name: str) -> None:
    """Has the step's program start in this AppArmor profile.

    Early, while /proc is the machine's own: a step's mounts can put anything in the place of its /proc.
    """
    own, shared = "/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"
    try:
        # The shared file, all that there is before Linux 5.8, may belong to another security module.
        with open(own if os.path.exists(own) else shared, "wb", buffering=0) as file:
            file.write(b"exec " + os.fsencode(name))
    except OSError as error:
        problem = f"start in the AppArmor profile `{name}`: {os.strerror(error.errno or 0)}"
        raise OSError(error.errno, problem) from None


def _join_network(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        kernel.setns(fd, kernel.CLONE_NEWNET)
    except OSError as error:
        raise OSError(error.errno, f"join the network namespace `{path}`: {os.strerror(error.errno or 0)}") from None
    os.close(fd)


def _raise_loopback() -> None:
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    request = b"lo".ljust(16, b"\0") + _IFF_UP.to_bytes(2, sys.byteorder) + bytes(22)
    fcntl.ioctl(probe.fileno(), _SIOCSIFFLAGS, request)
    probe.close()


def connect(container: ContainerDocument, control: _socket.socket, stdio: tuple[int, int, int]) -> None:
    """Standard streams, which belong to the step's user as they do in runc, so that /dev/stderr can be opened.

    But for what the caller passes on: a terminal or a device of the host stays whose it is.
    """
    os.setsid()
    if container["terminal"]:
        slave = _open_terminal(control)
        stdio = (slave, slave, slave)
    # Copies above 2 first: one of the three may itself be 0, 1 or 2.
    copies = [os.dup(fd) for fd in stdio]
    # Standard output is always ours: a pipe, or a terminal in this container's /dev/pts. So is what lies beside it.
    own_device = os.fstat(copies[1]).st_dev
    for number, fd in enumerate(copies):
        os.dup2(fd, number)
        if os.fstat(number).st_dev == own_device:
            try:
                os.fchown(number, container["uid"], -1)
            except OSError:
                continue


def _open_terminal(control: _socket.socket) -> int:
    """A terminal of this mount namespace's /dev/pts, which controls this process; the caller gets its other side."""
    master = os.open("/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    name = _unlock_slave(master)
    slave = os.open(name, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    send(control, ("terminal",), master)
    fcntl.ioctl(slave, _TIOCSCTTY, 0)
    return slave


def _bind_console() -> None:
    """Makes /dev/console the terminal that standard input is, as runc does."""
    os.close(os.open("/dev/console", os.O_CREAT | os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC, 0o600))
    spot = os.open("/dev/console", os.O_PATH | os.O_CLOEXEC)
    kernel.attach(kernel.clone_mount(os.ttyname(0), recursive=False), spot)
    os.close(spot)


def _unlock_slave(master: int) -> str:
    fcntl.ioctl(master, _TIOCSPTLCK, (0).to_bytes(4, sys.byteorder))
    number = fcntl.ioctl(master, _TIOCGPTN, bytes(4))
    return f"/dev/pts/{int.from_bytes(number, sys.byteorder)}"


def _let_go(control: _socket.socket) -> None:
    """Closes all that the program's start would close, but for `control`.

    A path of the image's choosing, such as a working directory `/proc/self/fd/7`, would lead through it.
    """
    os.closerange(3, control.fileno())
    os.closerange(max(3, control.fileno() + 1), 1 << 30)


def _confine(container: ContainerDocument, host: Host) -> None:
    for limit in container["rlimits"]:
        _limit(limit["name"], limit["soft"], limit["hard"])
    kept = facts.mask_of(facts.granted(container["added_capabilities"], container["dropped_capabilities"]))
    filtered = container["seccomp"] and not container["privileged"]
    if not container["privileged"]:
        for number in range(host.last_capability + 1):
            if not kept >> number & 1:
                kernel.prctl(kernel.PR_CAPBSET_DROP, number)
    if filtered or container["privileged"]:
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    gid, groups = container["gid"], container["groups"]
    os.umask(0o022)
    os.chdir(container["cwd"])
    if not host.groups_denied:
        os.setgroups(groups if gid in groups else (gid, *groups))
    _become(container["uid"], gid)
    if container["privileged"]:
        # Inheritable and ambient too, so that they survive the start of a program by any user.
        kernel.capset(host.permitted, host.permitted, host.permitted)
        for number in range(host.permitted.bit_length()):
            if host.permitted >> number & 1:
                kernel.prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_RAISE, number)
    else:
        mask = host.permitted & kept if container["uid"] == 0 else 0
        if filtered:
            # Without no_new_privs, which would break setuid programs, a filter needs it. The program's start takes it
            # away, from root because it is not in the bounding set, from others with all that they have.
            mask |= 1 << kernel.CAP_SYS_ADMIN
        kernel.capset(mask, mask, 0)
    if container["no_new_privileges"]:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def _become(uid: int, gid: int) -> None:
    try:
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        problem = f"user {uid}:{gid} does not exist in this user namespace (see /etc/subuid)"
        raise OSError(errno.EINVAL, problem) from None


def _limit(name: str, soft: int, hard: int) -> None:
    number = getattr(resource, f"RLIMIT_{name.upper()}", None)
    if number is None:
        raise OSError(errno.EINVAL, f"unknown limit `{name}`")
    try:
        resource.setrlimit(number, (soft, hard))
    except (OSError, ValueError):
        # Without CAP_SYS_RESOURCE the hard limit cannot rise: as near to what was asked as is allowed.
        resource.setrlimit(number, facts.lowered(soft, hard, resource.getrlimit(number)[1]))


def _execute(container: ContainerDocument, host: Host) -> NoReturn:
    environment = _environment(container["env"])
    if "HOME" not in environment:
        environment["HOME"] = _home(container["uid"])
    argv = container["argv"]
    if any("\0" in word for word in argv):
        raise NoProgram("exec: an argument contains a nul byte", NOT_STARTED)
    path = _find(argv[0] if argv else "", environment.get("PATH", ""))
    if container["seccomp"] and not container["privileged"]:
        # Last, so that a profile need allow nothing that only this program does: but to start the other one.
        kernel.install_filter(container.get("seccomp_filter") or host.program)
    try:
        os.execve(path, argv, environment)
    except OSError as error:
        raise NoProgram(f"exec {path}: {_lower(error)}", NOT_STARTED) from None


def _environment(entries: tuple[str, ...]) -> dict[str, str]:
    """By name, the last one counts. An image's may be no `NAME=VALUE` at all: runc's rules and its words."""
    environment: dict[str, str] = {}
    for entry in entries:
        name, _, environment[name] = entry.partition("=")
        if not name:
            raise NoProgram("invalid environment variable: name cannot be empty", NOT_ALLOWED)
        if "\0" in entry:
            shown = name.replace("\0", "\\x00")
            raise NoProgram(f'invalid environment variable "{shown}": contains nul byte (\\x00)', NOT_ALLOWED)
    return environment


def _home(uid: int) -> str:
    """The home directory that the image's passwd file gives the user, perhaps ""; `/` for one not in it (as runc)."""
    try:
        # The image may have anything here: a pipe must not block, nor an endless device fill the memory.
        fd = os.open("/etc/passwd", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        text = os.read(fd, _PASSWD_LIMIT).decode(errors="surrogateescape")
        os.close(fd)
    except OSError:
        return "/"
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2] == str(uid):
            return fields[5] if len(fields) > 5 else ""
    return "/"


def _find(name: str, search: str) -> str:
    """The program to start, in the words and by the rules of runc (Go's exec.LookPath)."""
    if "/" in name:
        try:
            status = os.stat(name)
        except OSError as error:
            raise NoProgram(f'exec: "{name}": stat {name}: {_lower(error)}', NOT_FOUND) from None
        if stat.S_ISDIR(status.st_mode):
            raise NoProgram(f'exec: "{name}": is a directory', NOT_PERMITTED)
        if not os.access(name, os.X_OK, effective_ids=True):
            raise NoProgram(f'exec: "{name}": permission denied', NOT_PERMITTED)
        return name
    for directory in search.split(":") if name else ():
        path = f"{directory or '.'}/{name}"
        if os.path.isfile(path) and os.access(path, os.X_OK, effective_ids=True):
            return path
    raise NoProgram(f'exec: "{name}": executable file not found in $PATH', NOT_FOUND)


def _lower(error: OSError) -> str:
    text = os.strerror(error.errno or 0)
    return text[:1].lower() + text[1:]

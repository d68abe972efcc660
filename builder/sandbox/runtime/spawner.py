"""The spawner: one process per sandbox that forks a container per request and reports how it ended.

Two processes: the outer one opens a PID namespace and waits; the inner one is that namespace's process 1, so that when
it dies, for whatever reason, the kernel ends every step with it. It dies when the socket to its caller closes, which
the kernel does too when the caller is killed. Mounts live in namespaces of their own and vanish with them.

A request on the seqpacket socket is five descriptors: a memory file with the container, the control socket, standard
input, output and error; a sixth one, if an OCI runtime is to run the container, takes its log. Answers go to the
control socket: what `step` sends, then ("exit", status, oom killed). Closing the control socket ends the container.
"""

from __future__ import annotations

import _socket
import gc
import marshal
import os
import select
import struct

from builder.sandbox.runtime import bundle, cgroups, forwarding, kernel, step, system
from builder.sandbox.runtime.host import Host
from builder.sandbox.runtime.spawnergroup import SpawnerGroup

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from builder.sandbox.runtime.wire import ContainerDocument

_MOST_FDS = 6
_SIGKILL = 9


def main(socket_fd: int, mount_dir: str, userxattr: bool) -> NoReturn:
    """Serves the caller at the other end of `socket_fd` until it closes, then ends what it started.

    The caller starts it in a session of its own: a kill of the caller's process group must spare what cleans up.
    """
    os.chdir("/")
    # The caller may have been started with open descriptors that it does not know of; no step shall see them.
    os.closerange(socket_fd + 1, 1 << 30)
    requests = _socket.socket(fileno=socket_fd)
    os.set_inheritable(socket_fd, False)
    hierarchies = cgroups.hierarchies()
    if os.geteuid() == 0:
        cgroups.sweep(hierarchies)
    name = cgroups.group_name(os.getpid())
    group = SpawnerGroup(hierarchies, name)
    broken: OSError | None = None
    try:
        kernel.unshare(kernel.CLONE_NEWPID | kernel.CLONE_NEWNS)
        kernel.make_slave()
        inner = os.fork()
    except OSError as error:
        broken, inner = error, 0
    if inner:
        requests.close()
        _, status = os.waitpid(inner, 0)
        cgroups.sweep(hierarchies, ended=os.getpid())
        forwarding.sweep()
        os._exit(0 if status == 0 else 1)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, _SIGKILL)
    kernel.reset_signals()
    # Fewer pages are copied after a fork when the collector leaves what exists alone.
    gc.freeze()
    try:
        host: Host | OSError = broken or Host(mount_dir, userxattr=userxattr, hierarchies=hierarchies, group=group)
    except OSError as error:
        host = error
    Spawner(requests, host, name).serve()
    os._exit(0)


class _Running:
    """A container that has been forked and not yet reported."""

    __slots__ = ("control", "group", "pid", "pidfd", "runtime_group")

    def __init__(self, pid: int, control: _socket.socket, group: cgroups.Group | None, runtime_group: str) -> None:
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.control = control
        self.group = group
        self.runtime_group = runtime_group
        """That of an OCI runtime, which removes it itself unless it was killed; "" without one."""

    def kill(self) -> None:
        os.kill(self.pid, _SIGKILL)

    def report(self) -> None:
        """Waits for the end, tells it to the caller if there still is one, and frees everything."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        oom_killed = False
        if self.group is not None:
            oom_killed = self.group.oom_killed()
            self.group.remove()
        if self.runtime_group:
            cgroups.remove_of_runtime(self.runtime_group)
        _answer(self.control, ("exit", code if code >= 0 else 128 - code, oom_killed))
        os.close(self.pidfd)


class Spawner:
    """Serves requests. `host` is an error instead when this machine cannot run anything: every request gets it."""

    def __init__(self, requests: _socket.socket, host: Host | OSError, group_name: str) -> None:
        self._requests = requests
        self._host = host
        self._serial = 0
        self._group_name = group_name
        self._poll = select.poll()
        self._poll.register(requests.fileno(), select.POLLIN)
        self._by_pidfd: dict[int, _Running] = {}
        self._by_control: dict[int, _Running] = {}
        self._own_pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)

    def serve(self) -> None:
        """Returns when the caller has closed its end and every container has ended."""
        requests = self._requests.fileno()
        while True:
            # Ends come before requests, so that no event is taken for that of a new container with the same descriptor.
            ready = {fd for fd, _ in self._poll.poll()}
            for fd in ready:
                if fd in self._by_pidfd:
                    self._end(self._by_pidfd[fd])
                elif fd in self._by_control:
                    self._poll.unregister(fd)
                    self._by_control[fd].kill()
            if requests in ready and not self._take_request():
                for running in list(self._by_pidfd.values()):
                    running.kill()
                    self._end(running)
                return

    def _end(self, running: _Running) -> None:
        control = running.control.fileno()
        self._poll.unregister(running.pidfd)
        if self._by_control.pop(control, None):
            try:
                self._poll.unregister(control)
            except KeyError:
                # The caller had hung up.
                pass
        del self._by_pidfd[running.pidfd]
        running.report()

    def _take_request(self) -> bool:
        """Starts one container; False when the caller is gone."""
        space = _socket.CMSG_SPACE(_MOST_FDS * 4)
        data, ancillary, _, _ = self._requests.recvmsg(64, space, _socket.MSG_CMSG_CLOEXEC)
        if not data:
            return False
        rights = ancillary[0][2]
        fds = struct.unpack(f"{len(rights) // 4}i", rights)
        document, control = fds[0], _socket.socket(fileno=fds[1])
        try:
            with open(document, "rb") as file:
                container: ContainerDocument = marshal.loads(file.read())
            self._start(container, control, fds[2:5], fds[5:])
        except OSError as error:
            _answer(control, ("error", error.errno or 0, error.strerror or str(error), error.filename or ""))
        finally:
            for fd in fds[2:]:
                os.close(fd)
        return True

    def _start(self, container: ContainerDocument, control: _socket.socket, stdio: tuple[int, int, int],
               log: tuple[int, ...]) -> None:
        if isinstance(self._host, OSError):
            raise self._host
        group = self._make_group(container, self._host)
        try:
            sys_template = "" if log else system.sys_template(self._host, container["network"])
            pid = self._fork()
        except OSError:
            if group is not None:
                group.remove()
            raise
        if pid == 0 and log:
            bundle.run(container, self._host, control, stdio, log[0])
        if pid == 0:
            step.run(container, self._host, group, control, stdio, sys_template)
        running = _Running(pid, control, group, container["oci"]["cgroups_path"] if log else "")
        self._by_pidfd[running.pidfd] = self._by_control[control.fileno()] = running
        self._poll.register(running.pidfd, select.POLLIN)
        self._poll.register(control.fileno(), 0)

    def _make_group(self, container: ContainerDocument, host: Host) -> cgroups.Group | None:
        if "oci" in container or not cgroups.wants_group(container):
            return None
        self._serial += 1
        try:
            return cgroups.Group(container, host.hierarchies, f"{self._group_name}-{self._serial}", host.guard)
        except OSError:
            if cgroups.wants_only_tasks(container) and system.can_limit_tasks(container["pids_limit"]):
                return None
            raise

    def _fork(self) -> int:
        """Forks the first process of a new PID namespace; this process itself stays where it is."""
        kernel.unshare(kernel.CLONE_NEWPID)
        pid = -1
        try:
            pid = os.fork()
        finally:
            if pid != 0:
                kernel.setns(self._own_pid_namespace, kernel.CLONE_NEWPID)
        return pid


def _answer(control: _socket.socket, message: tuple[str | int, ...]) -> None:
    try:
        control.send(marshal.dumps(message), _socket.MSG_NOSIGNAL)
    except OSError:
        # The caller has hung up and wants no answer.
        pass
    control.close()

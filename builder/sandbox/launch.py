"""The spawner's process, seen from the caller: started when first needed, ended by `close`.

What it does and how it is talked to is described in `builder.sandbox.runtime.spawner`.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import sys
import threading

from builder.sandbox.attachment import RuntimeDied, Session
from builder.sandbox.container import Exit

_SOCKET_FD = 3
_CHUNK = 1 << 24

_BOOT = """
import sys
for name, folder in {packages!r}:
    sys.modules[name] = module = type(sys)(name)
    module.__path__ = [folder]
from builder.sandbox.runtime.spawner import main
main({socket_fd}, {mount_dir!r}, {userxattr!r})
"""
"""The program's own packages are declared, not imported: it must not pay for, or depend on, what they import."""


class SpawnerProcess:
    """Takes containers from several threads at once."""

    def __init__(self, state_dir: str, *, userxattr: bool) -> None:
        self.mount_dir = os.path.join(os.path.abspath(state_dir), "mnt")
        self._userxattr = userxattr
        self._lock = threading.Lock()
        self._requests: _socket.socket | None = None
        self._closed = False
        self._pid = 0

    def start(self) -> None:
        """Starts the process, which gets ready while the caller goes on; `run` does so too. Idempotent."""
        with self._lock:
            if self._requests is None and not self._closed:
                self._requests = self._start()

    def run(self, document: bytes, session: Session) -> Exit:
        """Has the container that `document` describes run, and serves its session until the end."""
        memory = os.memfd_create("container")
        try:
            left = memoryview(document)
            while left:
                left = left[os.write(memory, left):]
            os.lseek(memory, 0, os.SEEK_SET)
            self._request(memory, *session.descriptors())
        finally:
            os.close(memory)
        session.handed_over()
        return session.serve()

    def close(self) -> None:
        """Ends every container and waits until the last process is gone. Idempotent."""
        with self._lock:
            self._closed = True
            if self._requests is None:
                return
            self._requests.close()
            self._requests = None
            os.waitpid(self._pid, 0)

    def _request(self, *fds: int) -> None:
        rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
        with self._lock:
            if self._closed:
                raise RuntimeDied
            if self._requests is None:
                self._requests = self._start()
            try:
                self._requests.sendmsg([b"run"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
            except OSError:
                raise RuntimeDied from None

    def _start(self) -> _socket.socket:
        os.makedirs(self.mount_dir, mode=0o700, exist_ok=True)
        ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        here = os.path.dirname(os.path.abspath(__file__))
        packages = (("builder", os.path.dirname(here)), ("builder.sandbox", here))
        program = _BOOT.format(packages=packages, socket_fd=_SOCKET_FD, mount_dir=self.mount_dir,
                               userxattr=self._userxattr)
        try:
            with open(_copied_interpreter(), "rb", buffering=0) as copy:
                self._pid = _spawn(f"/proc/self/fd/{copy.fileno()}", program, theirs.fileno())
        except OSError:
            # Some machines let nobody execute what is only in memory (vm.memfd_noexec).
            self._pid = _spawn(sys.executable, program, theirs.fileno())
        theirs.close()
        return ours


def _spawn(path: str, program: str, requests: int) -> int:
    # Standard error stays the caller's: what is written there is the trace of a bug. The session is its own from the
    # first instant: a kill of the caller's process group spares the process that cleans up, however early it comes.
    return os.posix_spawn(
        path, (sys.executable, "-I", "-S", "-X", "utf8", "-c", program), _library_path(),
        file_actions=((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                      (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                      (os.POSIX_SPAWN_DUP2, requests, _SOCKET_FD)),
        setsid=True, setsigmask=(),
    )


def _copied_interpreter() -> int:
    """A descriptor of a copy of Python's executable, in memory, which nobody can write to.

    Until a step's program starts, /proc/self/exe is what the spawner runs from. An image can have just that started,
    and a process that runs from a file of the host could overwrite it (CVE-2019-5736 of runc).
    """
    memory = os.memfd_create("builder-spawner", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(sys.executable, "rb", buffering=0) as file:
            while os.sendfile(memory, file.fileno(), None, _CHUNK):
                pass
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
                    | fcntl.F_SEAL_WRITE)
        # Above those that the new process gets.
        return fcntl.fcntl(memory, fcntl.F_DUPFD_CLOEXEC, _SOCKET_FD + 1)
    finally:
        os.close(memory)


def _library_path() -> dict[str, str]:
    """An environment in which the copy finds libpython too, which may be said to lie beside the original."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            folder, _, name = line.rstrip("\n").rpartition("/")
            if name.startswith("libpython"):
                return {"LD_LIBRARY_PATH": folder[folder.index("/"):]}
    return {}

"""The spawner's process, seen from the caller: started when first needed, ended by `close`.

What it does and how it is talked to is described in `builder.sandbox.runtime.spawner`.
"""

from __future__ import annotations

import _socket
import os
import sys
import threading

from builder.sandbox.container import Exit
from builder.sandbox.session import RuntimeDied, Session

_SOCKET_FD = 3

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
        # Standard error stays the caller's: what is written there is the trace of a bug.
        self._pid = os.posix_spawn(
            sys.executable, (sys.executable, "-I", "-S", "-X", "utf8", "-c", program), {},
            file_actions=((os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                          (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                          (os.POSIX_SPAWN_DUP2, theirs.fileno(), _SOCKET_FD)),
            setsigmask=(),
        )
        theirs.close()
        return ours

"""One container's conversation: its output, its input, its terminal, and the sockets it was lent.

Everything happens in the thread that called `run`. The runtime's side of it is described in `runtime.spawner`.
"""

from __future__ import annotations

import _socket
import marshal
import os
import select
from typing import TYPE_CHECKING, BinaryIO

from builder.errors import SandboxError
from builder.sandbox.container import Container, Exit, Output, Socket

if TYPE_CHECKING:
    from builder.sandbox.relay import SocketRelay

_CHUNK = 1 << 16
_FORBIDDEN = (1, 13)
_NOT_HERE = (*_FORBIDDEN, 19, 22, 95)
"""EPERM, EACCES, ENODEV, EINVAL, EOPNOTSUPP."""

LOG_STREAM = 3
"""What an OCI runtime logs, delivered like output."""


class SetupFailed(SandboxError):
    """The container could not be made; the step's program never ran."""

    code = "sandbox-setup"

    def __init__(self, problem: str, *, errno: int = 0) -> None:
        self.overlay_refused = problem.startswith("overlay cannot be mounted") and errno in _NOT_HERE
        """Whether the kernel does not want an overlay on these directories, for which there is another way."""
        self.reason = problem.partition(": ")[2]
        super().__init__(
            f"cannot set up the container: {problem[:1].lower()}{problem[1:]}",
            hint="`builder doctor` shows what this machine allows" if errno in _FORBIDDEN else None,
        )


class RuntimeDied(SandboxError):
    """The runtime went away while a container ran, or before it could start one."""

    code = "sandbox-died"

    def __init__(self) -> None:
        super().__init__("the sandbox was closed or killed while a step was running")


class Session:
    """Streams between a container and its caller; a context manager that ends the container if it still runs."""

    def __init__(self, container: Container, output: Output, stdin: BinaryIO | None, *, with_log: bool = False) -> None:
        self._container = container
        self._outputs = (1, 2, LOG_STREAM) if with_log else (1, 2)
        self._output = output
        self._control, self._their_control = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self._streams: dict[int, int] = {}
        """Descriptors to read, with the number of the stream that they are."""
        self._theirs: list[int] = []
        self._stdin = stdin
        self._terminal = -1
        self._typed = -1
        """The caller's input while it goes to a terminal."""
        self._poll = select.poll()
        self._relay: SocketRelay | None = None
        self._listen(self._control.fileno())

    def descriptors(self) -> tuple[int, ...]:
        """Control socket, standard input, output, error, and log if there is one: the container's side of everything.

        Gone after `handed_over`.
        """
        stdin = self._open_stdin()
        outputs = []
        for stream in self._outputs:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            self._streams[reader] = stream
            self._listen(reader)
            outputs.append(writer)
        self._theirs += [stdin, *outputs]
        return (self._their_control.fileno(), stdin, *outputs)

    def handed_over(self) -> None:
        """Closes the container's side of everything in this process."""
        self._their_control.close()
        for fd in self._theirs:
            os.close(fd)
        self._theirs.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.handed_over()
        self._control.close()
        if self._relay is not None:
            self._relay.close()
        for fd in {*self._streams, self._terminal} - {-1}:
            os.close(fd)

    def serve(self) -> Exit:
        """Passes data on until the container has ended and all of its output has been delivered."""
        while True:
            for fd, _ in self._poll.poll():
                if fd == self._control.fileno():
                    ended = self._hear()
                    if ended is not None:
                        self._drain()
                        return ended
                elif fd in self._streams:
                    self._read(fd)
                elif self._relay is not None and self._relay.handles(fd):
                    self._relay.move(fd)
                elif fd == self._typed:
                    self._feed(fd)

    def _listen(self, fd: int) -> None:
        self._poll.register(fd, select.POLLIN)

    def _open_stdin(self) -> int:
        """A pipe as in BuildKit, at its end unless the caller gave input; a caller's file or pipe goes through."""
        if self._stdin is not None and not self._container.terminal:
            try:
                return os.dup(self._stdin.fileno())
            except (OSError, AttributeError):
                pass
        reader, writer = os.pipe2(os.O_CLOEXEC)
        if self._stdin is None or self._container.terminal:
            os.close(writer)
            return reader
        import threading

        threading.Thread(target=_pump, args=(self._stdin, writer), daemon=True).start()
        return reader

    def _hear(self) -> Exit | None:
        """One message from the runtime; the exit if that is what it was."""
        data, ancillary, _, _ = self._control.recvmsg(_CHUNK, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        if not data:
            raise RuntimeDied
        fd = int.from_bytes(ancillary[0][2][:4], "little") if ancillary else -1
        match marshal.loads(data):
            case ("exit", status, oom_killed):
                return Exit(status, oom_killed)
            case ("terminal",):
                self._start_terminal(fd)
            case ("socket", number):
                mount = self._container.mounts[number]
                assert isinstance(mount, Socket)
                self._lend(fd, mount.source)
            case ("error", errno, problem, filename):
                where = f"`{filename}`: " if filename and filename not in problem else ""
                raise SetupFailed(where + problem, errno=errno)
            case other:
                raise RuntimeError(f"this is a bug in builder: the runtime said {other!r}")
        return None

    def _lend(self, fd: int, source: str) -> None:
        from builder.sandbox.relay import SocketRelay

        self._relay = self._relay or SocketRelay(self._poll)
        self._relay.lend(fd, source)

    def _start_terminal(self, fd: int) -> None:
        self._terminal = fd
        reader = os.dup(fd)
        self._streams[reader] = 1
        self._listen(reader)
        if self._stdin is None:
            return
        self._typed = self._stdin.fileno()
        self._listen(self._typed)
        self._copy_size()

    def _copy_size(self) -> None:
        import fcntl
        import termios

        assert self._stdin is not None
        if self._stdin.isatty():
            size = fcntl.ioctl(self._stdin.fileno(), termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def _feed(self, fd: int) -> None:
        """Typed bytes on their way to the terminal, which follows the size of the caller's."""
        data = os.read(fd, _CHUNK)
        self._copy_size()
        if data:
            os.write(self._terminal, data)
        else:
            self._poll.unregister(fd)
            os.write(self._terminal, b"\x04")

    def _read(self, fd: int) -> bool:
        """Delivers what is there; False at the end of the stream."""
        try:
            data = os.read(fd, _CHUNK)
        except OSError:
            # A terminal whose other side is closed answers EIO.
            data = b""
        if not data:
            del self._streams[fd]
            self._poll.unregister(fd)
            os.close(fd)
            return False
        self._output(self._streams[fd], data)
        return True

    def _drain(self) -> None:
        # Every writer is dead, but one may have passed its end of a pipe to a process outside: do not wait for EOF.
        for fd in list(self._streams):
            while self._ready(fd) and self._read(fd):
                pass

    def _ready(self, fd: int) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(0))


def _pump(source: BinaryIO, writer: int) -> None:
    with open(writer, "wb", buffering=0) as pipe:
        while data := source.read(_CHUNK):
            try:
                pipe.write(data)
            except BrokenPipeError:
                return

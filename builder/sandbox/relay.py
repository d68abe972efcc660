"""Host sockets lent to a container: connections made inside are continued to the host's socket.

The container sees a socket of its own, with the owner and mode that it asked for; the host's is not touched.
"""

from __future__ import annotations

import select
import socket

_CHUNK = 1 << 16
_MOST_CONNECTIONS = 128
"""At one time; a step that opens more shall not take all of this process's descriptors."""


class SocketRelay:
    """Listeners and connections by descriptor, all registered in the caller's poll object."""

    def __init__(self, poll: select.poll) -> None:
        self._poll = poll
        self._listeners: dict[int, tuple[socket.socket, str]] = {}
        self._peers: dict[int, tuple[socket.socket, socket.socket]] = {}

    def lend(self, fd: int, source: str) -> None:
        """Takes over the listening socket `fd`; those who connect to it talk to the Unix socket `source`."""
        self._listeners[fd] = (socket.socket(fileno=fd), source)
        self._poll.register(fd, select.POLLIN)

    def handles(self, fd: int) -> bool:
        return fd in self._listeners or fd in self._peers

    def move(self, fd: int) -> None:
        """Does what `fd`, which is readable, has to do."""
        if fd in self._listeners:
            self._accept(*self._listeners[fd])
            return
        reader, writer = self._peers[fd]
        try:
            data = reader.recv(_CHUNK, socket.MSG_DONTWAIT)
            writer.sendall(data)
        except BlockingIOError:
            # The event was for a connection that has gone, whose descriptor this one has taken over.
            return
        except OSError:
            data = b""
        if not data:
            self._hang_up(reader, writer)

    def close(self) -> None:
        for reader, writer in list(self._peers.values()):
            if reader.fileno() in self._peers:
                self._hang_up(reader, writer)
        for listener, _ in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def _accept(self, listener: socket.socket, source: str) -> None:
        inner, _ = listener.accept()
        if len(self._peers) >= 2 * _MOST_CONNECTIONS:
            inner.close()
            return
        outer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            outer.connect(source)
        except OSError:
            inner.close()
            outer.close()
            return
        for reader, writer in ((inner, outer), (outer, inner)):
            self._peers[reader.fileno()] = (reader, writer)
            self._poll.register(reader.fileno(), select.POLLIN)

    def _hang_up(self, reader: socket.socket, writer: socket.socket) -> None:
        for end in (reader, writer):
            self._poll.unregister(end.fileno())
            del self._peers[end.fileno()]
            end.close()

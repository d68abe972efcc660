"""A name server in a step's network that hands queries on to one of this machine that the step cannot reach itself."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time

from builder.sandbox.networks.inside import in_namespace
from builder.sandbox.resolvconf import FORWARDER

_PORT, _LARGEST, _MOST, _SECONDS = 53, 1 << 16, 256, 10.0


class NameServer:
    """Serves from the start; closed by the caller."""

    def __init__(self, path: str, server: str) -> None:
        """`path` is a file that stands for the network namespace, `server` the address of the one to ask."""
        self._family = socket.AF_INET6 if ":" in server else socket.AF_INET
        self._server = (server, _PORT)
        self._datagrams, self._listener = in_namespace(path, _listen)
        self._stop, self._stopping = os.pipe()
        self._waiting: dict[int, tuple[socket.socket, tuple[str, int], float]] = {}
        self._connections = threading.BoundedSemaphore(_MOST)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        os.close(self._stopping)
        self._thread.join()

    def _serve(self) -> None:
        while True:
            watched = [self._datagrams.fileno(), self._listener.fileno(), *self._waiting]
            ready = select.select([self._stop, *watched], (), (), _SECONDS)[0]
            if self._stop in ready:
                break
            for fd in ready:
                with contextlib.suppress(OSError):
                    self._handle(fd)
            for fd in [fd for fd, (_, _, since) in self._waiting.items() if time.monotonic() - since > _SECONDS]:
                self._waiting.pop(fd)[0].close()
        for upstream, _, _ in self._waiting.values():
            upstream.close()
        self._datagrams.close()
        self._listener.close()
        os.close(self._stop)

    def _handle(self, fd: int) -> None:
        if fd == self._datagrams.fileno():
            query, client = self._datagrams.recvfrom(_LARGEST)
            if len(self._waiting) < _MOST:
                upstream = socket.socket(self._family, socket.SOCK_DGRAM)
                self._waiting[upstream.fileno()] = upstream, client, time.monotonic()
                upstream.connect(self._server)
                upstream.send(query)
        elif fd == self._listener.fileno():
            connection, _ = self._listener.accept()
            if self._connections.acquire(blocking=False):
                threading.Thread(target=self._relay, args=(connection,), daemon=True).start()
            else:
                connection.close()
        elif fd in self._waiting:
            upstream, client, _ = self._waiting.pop(fd)
            answer = upstream.recv(_LARGEST)
            upstream.close()
            self._datagrams.sendto(answer, client)

    def _relay(self, client: socket.socket) -> None:
        upstream = socket.socket(self._family, socket.SOCK_STREAM)
        try:
            upstream.settimeout(_SECONDS)
            client.settimeout(_SECONDS)
            upstream.connect(self._server)
            other = {client: upstream, upstream: client}
            while ready := select.select([client, upstream], (), (), _SECONDS)[0]:
                for source in ready:
                    data = source.recv(_LARGEST)
                    if not data:
                        return
                    other[source].sendall(data)
        except OSError:
            # The client sees the end of the connection.
            return
        finally:
            client.close()
            upstream.close()
            self._connections.release()


def _listen() -> tuple[socket.socket, socket.socket]:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((FORWARDER, _PORT))
    datagrams.setblocking(False)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((FORWARDER, _PORT))
    listener.listen()
    listener.setblocking(False)
    return datagrams, listener

"""A machine made of network namespaces, for builds to take for the host; and who listens there and outside of it."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from builder.sandbox.networks.inside import in_namespace

OUTSIDE, HERE, SECOND = "203.0.113.2", "203.0.113.1", "198.18.0.77"
USER = 65534


class Machine:
    """`name` is that of the network namespace; `port` listens everywhere in it, and on the server outside."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.port = 4001
        self.path = f"/run/netns/{name}"
        self._folder = folder

    def argv(self, *command: str, pasta: bool = True, user: bool = False, resolver: Path | None = None) -> list[str]:
        """`command` in this machine, with or without pasta in PATH, as root or as a user with a single id."""
        path = os.environ["PATH"] if pasta else str(self._plain_path())
        mounts = f"mount --bind {resolver} /etc/resolv.conf; " if resolver else ""
        if user:
            # As on machines where udev gives it to everybody.
            mounts += "mount -t tmpfs none /dev/net; mknod -m 666 /dev/net/tun c 10 200; "
        start = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups") if user else ()
        inner = (*start, "/usr/bin/env", f"PATH={path}", *command)
        return ["nsenter", f"--net={self.path}", "unshare", "-m", "sh", "-c", f'{mounts}exec "$@"', "sh", *inner]

    def _plain_path(self) -> Path:
        """A folder for PATH with all that this PATH leads to, but for pasta."""
        folder = self._folder / "bin"
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)
            for directory in reversed(os.environ["PATH"].split(":")):
                for name in os.listdir(directory) if os.path.isdir(directory) else ():
                    if not name.startswith(("pasta", "passt", "newuidmap", "newgidmap")):
                        (folder / name).unlink(missing_ok=True)
                        (folder / name).symlink_to(f"{directory}/{name}")
        return folder

    def links(self) -> set[str]:
        said = run("ip", "-n", self.name, "-o", "link")
        return {line.split(":")[1].split("@")[0].strip() for line in said.splitlines()}

    def rules(self) -> str:
        return run("nsenter", f"--net={self.path}", "nft", "list", "ruleset")

    def forwards(self) -> str:
        return in_namespace(self.path, lambda: Path("/proc/sys/net/ipv4/conf/out0/forwarding").read_text().strip())


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def echoing(path: str, port: int) -> Iterator[None]:
    """A server for TCP and UDP on all addresses of a namespace, and on an abstract socket of this name."""
    def listen() -> tuple[socket.socket, socket.socket, socket.socket]:
        stream, datagrams = socket.socket(socket.AF_INET6), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.bind(("::", port))
        datagrams.bind(("0.0.0.0", port))
        hidden = socket.socket(socket.AF_UNIX)
        hidden.bind("\0builder-test")
        for server in (stream, hidden):
            server.listen()
        return stream, datagrams, hidden

    sockets = in_namespace(path, listen)

    def accept(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, address = server.accept()
                with connection, contextlib.suppress(ConnectionError):
                    connection.sendall(f"hello {address[0] if address else ''}\n".encode())

    ended = threading.Event()

    def answer() -> None:
        while not ended.is_set():
            with contextlib.suppress(TimeoutError):
                sockets[1].sendto(b"hello\n", sockets[1].recvfrom(100)[1])

    sockets[1].settimeout(0.05)
    threads = [threading.Thread(target=accept, args=(server,)) for server in (sockets[0], sockets[2])]
    threads.append(threading.Thread(target=answer))
    for thread in threads:
        thread.start()
    yield
    ended.set()
    for server in (sockets[0], sockets[2]):
        server.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()
    for server in sockets:
        server.close()


def heard(path: str, port: int) -> Callable[[], set[str]]:
    """Listens for datagrams in the namespace; what is called later returns the texts of those that came."""
    def listen() -> socket.socket:
        made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        made.bind(("::", port))
        made.settimeout(0.5)
        return made

    listener = in_namespace(path, listen)

    def texts() -> set[str]:
        found = set()
        with listener, contextlib.suppress(TimeoutError):
            while True:
                found.add(listener.recv(1000).decode().strip())
        return found

    return texts


def datagram(source: str, destination: str, port: int) -> bytes:
    """A packet with a datagram that says where it was sent to."""
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    here, there = (socket.inet_pton(family, address) for address in (source, destination))
    text = destination.encode().ljust(40)
    udp = struct.pack("!HHHH", 5000, port, 8 + len(text), 0) + text
    if family == socket.AF_INET:
        header = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(udp), 0, 64, 17, 0) + here + there
        return header[:10] + _checksum(header) + header[12:] + udp
    udp = udp[:6] + _checksum(here + there + struct.pack("!II", len(udp), 17) + udp) + udp[8:]
    return struct.pack("!IHBB", 6 << 28, len(udp), 17, 64) + here + there + udp


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack("!H", ~total & 0xffff)


def drop_what_is_forwarded(machine: Machine) -> None:
    """As the firewalls of many machines do."""
    for rule in ("add table inet wall", "add chain inet wall f { type filter hook forward priority 0; policy drop; }"):
        run("nsenter", f"--net={machine.path}", "nft", rule)


def settled(holds: Callable[[], bool]) -> None:
    """Waits for what the kernel does after a process has ended."""
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end, "still not so"
        time.sleep(0.02)

"""A way out through pasta (https://passt.top), with or without root: it translates packets to sockets of this machine.

The namespace has this machine's own address, so that nothing here can be reached by it; the others that this machine
has when it starts are made unreachable. `guard` holds back what goes another way.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import subprocess
import sys
import threading

from builder.sandbox.networks.guard import guard
from builder.sandbox.networks.inside import in_namespace
from builder.sandbox.networks.netlink import Links
from builder.sandbox.networks.nftables import Table
from builder.sandbox.resolvconf import FORWARDER, local_server

_TUN = "/dev/net/tun"
_START_SECONDS = 5.0
_QUIET = ("Failed to send", "Couldn't write to /proc/self/uid_map", "Couldn't configure user mappings")
"""What pasta says without being in trouble: no syslog, and no need of a user namespace of its own."""


class Pasta:
    """Made ready by its constructor, which raises OSError where that cannot be.

    Ends when it is closed and when this process ends, however that happens. With `reaches_host` the gateway's address
    stands for this machine's loopback.
    """

    kind = "pasta"

    def __init__(self, *, reaches_host: bool) -> None:
        if reason := obstacle():
            raise OSError(2, reason)
        self._pasta, holder = _start(reaches_host=reaches_host)
        with contextlib.ExitStack() as stack:
            stack.callback(self._end)
            namespace = os.open(f"/proc/{holder}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, namespace)
            self.path = f"/proc/{os.getpid()}/fd/{namespace}"
            stack.callback(_close_ways_here(self.path, spared=_gateway() if reaches_host else "").close)
            self._resources = stack.pop_all()

    def close(self) -> None:
        """Steps that use it must have ended. Idempotent."""
        self._resources.close()

    def host_address(self) -> str:
        return _gateway() or "127.0.0.1"

    def _end(self) -> None:
        self._pasta.kill()
        self._pasta.communicate()


def obstacle() -> str:
    """Why pasta cannot work here, in words; "" if nothing is known. Costs no process."""
    import shutil

    if shutil.which("pasta") is None:
        return "pasta is not installed (Debian: passt)"
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return f"pasta may not open {_TUN}"
    return ""


def _close_ways_here(path: str, *, spared: str) -> Table:
    """What is returned is to be closed in the end."""
    here = Links()
    try:
        addresses = {address.packed for address in here.addresses()}
    finally:
        here.close()
    if spared:
        addresses.discard(_socket.inet_aton(spared))

    def close_them() -> Table:
        there = Links()
        try:
            device = next(name for name in there.names().values() if name != "lo")
            own = {address.packed for address in there.addresses()}
            for packed in addresses - own:
                if packed[0] != 127 or len(packed) != 4:
                    there.forbid(packed)
        finally:
            there.close()
        return guard(device, addresses)

    return in_namespace(path, close_them)


def _gateway() -> str:
    """The IPv4 address of this machine's default gateway, which the namespace has too; "" without one."""
    with open("/proc/net/route") as file:
        for line in file:
            _, destination, address, *_ = line.split()
            if destination == "00000000" and address != "00000000":
                return _socket.inet_ntoa(int(address, 16).to_bytes(4, sys.byteorder))
    return ""


def _start(*, reaches_host: bool) -> tuple[subprocess.Popen[bytes], str]:
    # `cat` holds the namespace: it ends with our end of its standard input, and pasta ends with it.
    # A forwarder where none is needed would answer for the name server in the wrong name.
    server = local_server()
    forward = ["--dns-forward", FORWARDER] if server else []
    host = [] if reaches_host else ["--no-map-gw"]
    command = ["pasta", "-f", "-q", "--runas", "0", "--netns-only", "--config-net", *forward, *host,
               "-t", "none", "-u", "none", "-T", "none", "-U", "none", "--", "sh", "-c", "echo; exec cat"]
    pasta = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    timer = threading.Timer(_START_SECONDS, pasta.kill)
    timer.start()
    assert pasta.stdout is not None
    is_ready = pasta.stdout.readline() == b"\n"
    timer.cancel()
    holder = _child_of(pasta.pid) if is_ready else ""
    if not holder:
        pasta.kill()
        said = pasta.communicate()[1].decode(errors="replace").splitlines()
        said = [line.strip() for line in said if line.strip() and not line.startswith(_QUIET)]
        raise OSError(5, f"pasta: {said[-1]}" if said else "pasta does not start")
    return pasta, holder


def _child_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return next(iter(file.read().split()), "")
    except OSError:
        return ""

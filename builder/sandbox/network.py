"""A network of its own for the steps of a build, connected to the outside by pasta (https://passt.top).

One namespace serves all steps of a build: pasta takes 25 ms to start, joining 2 ms a step. Inside, the host's
loopback does not exist, and nothing of the host can be reached that is bound to it alone.
Where pasta is missing or may not open /dev/net/tun there is no such network: steps then have the host's or none.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

from builder.errors import SandboxError
from builder.sandbox.resolver import needs_forwarder

DNS_FORWARD = "169.254.1.1"
"""Queries sent there go to the host's name server, where that is on its loopback."""

_TUN = "/dev/net/tun"
_START_SECONDS = 5.0
_QUIET = ("Failed to send", "Couldn't write to /proc/self/uid_map", "Couldn't configure user mappings")
"""What pasta says without being in trouble: no syslog, and no need of a user namespace of its own."""


class NoPrivateNetwork(SandboxError):
    """pasta is missing, may not work here, or did not start."""

    code = "no-private-network"

    def __init__(self, reason: str) -> None:
        super().__init__(f"steps cannot have a network of their own: {reason}",
                         hint="`--network host` gives them the host's, `--network none` none")


class PrivateNetwork:
    """Started by the first call of `path`; ends when it is closed and when this process ends, however that happens.

    With `reaches_host` the gateway's address stands for the host's loopback (--add-host NAME:host-gateway).
    """

    def __init__(self, *, reaches_host: bool = False) -> None:
        self._reaches_host = reaches_host
        self._lock = threading.Lock()
        self._pasta: subprocess.Popen[bytes] | None = None
        self._path = ""

    def path(self) -> str:
        """A file that stands for the network namespace. Raises NoPrivateNetwork."""
        with self._lock:
            if self._pasta is None:
                self._pasta, self._path = _start(reaches_host=self._reaches_host)
            return self._path

    def close(self) -> None:
        """Ends the network; steps that use it must have ended. Idempotent."""
        with self._lock:
            if self._pasta is not None:
                self._pasta.kill()
                self._pasta.communicate()
                self._pasta = None


def obstacle() -> str:
    """Why there can be no private network, in words; "" if there can. Costs no process."""
    import shutil

    if shutil.which("pasta") is None:
        return "pasta is not installed (Debian: passt)"
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return f"pasta may not open {_TUN}"
    return ""


def gateway() -> str:
    """The IPv4 address of the host's default gateway, which a private network has too; "" without one."""
    with open("/proc/net/route") as file:
        for line in file:
            _, destination, address, *_ = line.split()
            if destination == "00000000" and address != "00000000":
                return socket.inet_ntoa(int(address, 16).to_bytes(4, sys.byteorder))
    return ""


def _start(*, reaches_host: bool) -> tuple[subprocess.Popen[bytes], str]:
    reason = obstacle()
    if reason:
        raise NoPrivateNetwork(reason)
    # `cat` holds the namespace: it ends with our end of its standard input, and pasta ends with it.
    # A forwarder where none is needed would answer for the name server in the wrong name.
    forward = ["--dns-forward", DNS_FORWARD] if needs_forwarder() else []
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
        raise NoPrivateNetwork(f"pasta: {said[-1]}" if said else "pasta does not start")
    return pasta, f"/proc/{holder}/ns/net"


def _child_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return next(iter(file.read().split()), "")
    except OSError:
        return ""

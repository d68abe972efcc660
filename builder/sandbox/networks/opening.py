"""Which network of their own steps can have here: the first that works of those that this user may try."""

from __future__ import annotations

import os
from typing import Protocol

from builder.errors import SandboxError

INSTALL = "install pasta (Debian: passt)"


class OwnNetwork(Protocol):
    """A network namespace with a way out; the opener closes it when the steps in it have ended."""

    @property
    def kind(self) -> str:
        """`nat` or `pasta`."""
        ...

    @property
    def path(self) -> str:
        """A file that stands for the namespace, valid as long as this process and the network live."""
        ...

    def host_address(self) -> str:
        """Where this machine is, for a network that reaches it."""
        ...

    def close(self) -> None: ...


class NoPrivateNetwork(SandboxError):
    """Nothing worked; the reasons are in the message."""

    code = "no-private-network"

    def __init__(self, reasons: str) -> None:
        self.reasons = reasons
        super().__init__(f"steps cannot have a network of their own: {reasons}",
                         hint=f"{INSTALL}; `--network host` gives steps the host's, `--network none` none")


def open_network(*, reaches_host: bool = False) -> OwnNetwork:
    """Translation by the kernel as root, else pasta. Steps reach this machine only with `reaches_host`.

    Raises NoPrivateNetwork.
    """
    reasons = []
    for attempt in (_open_nat, _open_pasta) if _is_root() else (_open_pasta,):
        try:
            return attempt(reaches_host)
        except OSError as error:
            text = error.strerror or str(error)
            reasons.append(text[:1].lower() + text[1:])
    raise NoPrivateNetwork("; ".join(reasons))


def _open_nat(reaches_host: bool) -> OwnNetwork:
    from builder.sandbox.networks.nat import Nat

    return Nat(reaches_host=reaches_host)


def _open_pasta(reaches_host: bool) -> OwnNetwork:
    from builder.sandbox.networks.pasta import Pasta

    return Pasta(reaches_host=reaches_host)


def _is_root() -> bool:
    """Whether this is the root that the machine's network belongs to, as far as a user can tell."""
    if os.geteuid() != 0:
        return False
    with open("/proc/self/uid_map") as file:
        return file.read().split() == ["0", "0", "4294967295"]

"""Which network the steps of a build get: none, the host's, a given one, or the build's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from builder.plan.vertices import Network

if TYPE_CHECKING:
    from builder.sandbox.network import PrivateNetwork

HOST_GATEWAY = "host-gateway"
"""An extra host's address: this machine as the step reaches it."""


class StepNetwork(msgspec.Struct, frozen=True):
    value: str
    """As `Container.network` takes it."""
    private: bool = False
    """Connected to the outside, but not the host's."""


class Networks:
    """One build's; the private network is started when the first step needs it. `note` receives a remark for people."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._lock = threading.Lock()
        self._private: dict[bool, PrivateNetwork] = {}
        self._is_missing = False

    def choose(self, network: Network, namespace: str = "", *, reaches_host: bool = False) -> StepNetwork:
        """The default is private where that is possible, else the host's. Raises NoPrivateNetwork for PRIVATE."""
        if namespace:
            return StepNetwork(namespace, private=True)
        match network:
            case Network.NONE | Network.HOST:
                return StepNetwork(network.value)
            case Network.PRIVATE:
                return StepNetwork(self._path(reaches_host), private=True)
            case Network.DEFAULT:
                return self._default(reaches_host)

    def close(self) -> None:
        """Steps must have ended. Idempotent."""
        with self._lock:
            for network in self._private.values():
                network.close()
            self._private.clear()

    def _default(self, reaches_host: bool) -> StepNetwork:
        from builder.sandbox.network import NoPrivateNetwork, obstacle

        if self._is_missing or obstacle():
            return StepNetwork(Network.HOST.value)
        try:
            return StepNetwork(self._path(reaches_host), private=True)
        except NoPrivateNetwork as error:
            self._is_missing = True
            self._note(f"{error.message}; steps use the host's network")
            return StepNetwork(Network.HOST.value)

    def _path(self, reaches_host: bool) -> str:
        from builder.sandbox.network import PrivateNetwork

        with self._lock:
            network = self._private.setdefault(reaches_host, PrivateNetwork(reaches_host=reaches_host))
        return network.path()

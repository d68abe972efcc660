"""Which network the steps of a build get: none, the host's, a given one, or one of their own.

A network of its own costs milliseconds to make, so a step leaves it to the next. Steps that run at the same time have
different ones: what one listens to, no other reaches.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import msgspec

from builder.plan.vertices import Network

if TYPE_CHECKING:
    from builder.sandbox.networks.opening import OwnNetwork

HOST_GATEWAY = "host-gateway"
"""An extra host's address: this machine as the step reaches it."""


class StepNetwork(msgspec.Struct, frozen=True):
    value: str
    """As `Container.network` takes it."""
    private: bool = False
    """Connected to the outside, but not the host's."""
    host_address: str = "127.0.0.1"
    """What `host-gateway` stands for."""
    missing: str = ""
    """Why the step has no network though it may have one."""


class Networks:
    """One build's; each network is made when the first step needs it. `note` receives a remark for people."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._lock = threading.Lock()
        self._free: dict[bool, list[OwnNetwork]] = {False: [], True: []}
        self._missing = ""

    @contextlib.contextmanager
    def lend(self, network: Network, namespace: str = "", *, reaches_host: bool = False,
             may_change: bool = False) -> Iterator[StepNetwork]:
        """A step's network until the end of the block, when its processes must have ended.

        The default is one of its own, and none where that cannot be. `may_change` says that the step could change it,
        so that nobody else may have it afterwards. Raises NoPrivateNetwork for PRIVATE.
        """
        if namespace:
            yield StepNetwork(namespace, private=True)
        elif network in (Network.NONE, Network.HOST):
            yield StepNetwork(network.value)
        elif self._missing and network is Network.DEFAULT:
            yield StepNetwork(Network.NONE.value, missing=self._missing)
        else:
            own = self._take(reaches_host, required=network is Network.PRIVATE)
            if own is None:
                yield StepNetwork(Network.NONE.value, missing=self._missing)
                return
            try:
                yield StepNetwork(own.path, private=True,
                                  host_address=own.host_address() if reaches_host else "127.0.0.1")
            finally:
                self._give_back(own, reaches_host, may_change)

    def close(self) -> None:
        """Steps must have ended. Idempotent."""
        with self._lock:
            for free in self._free.values():
                while free:
                    free.pop().close()

    def _take(self, reaches_host: bool, *, required: bool) -> OwnNetwork | None:
        from builder.sandbox.networks.opening import INSTALL, NoPrivateNetwork, open_network

        with self._lock:
            if self._free[reaches_host]:
                return self._free[reaches_host].pop()
        try:
            return open_network(reaches_host=reaches_host)
        except NoPrivateNetwork as error:
            if required:
                raise
            with self._lock:
                is_news, self._missing = not self._missing, error.reasons
            if is_news:
                self._note(f"steps have no network: {error.reasons}; {INSTALL}, or give them the host's with "
                           "`--network host`")
            return None

    def _give_back(self, own: OwnNetwork, reaches_host: bool, may_change: bool) -> None:
        if may_change:
            own.close()
            return
        with self._lock:
            self._free[reaches_host].append(own)

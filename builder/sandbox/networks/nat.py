"""A way out for root: a pair of interfaces, one in the namespace, one here, and address translation in between.

Nothing of it survives who made it. The namespace lives by descriptors of this process, and takes both interfaces with
it; the rules are a table that the kernel removes when its owner's socket closes. Forwarding is switched on for the
interfaces that have none, for as long as it is needed (`runtime.forwarding`), and only for what goes to steps.

Whether the machine lets packets through is tried, not assumed: many firewalls drop what is to be forwarded, and a table
of our own cannot overrule them. One packet to nowhere is sent, and caught where it is about to leave the machine.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import time

from builder.sandbox.networks import nftables as nft
from builder.sandbox.networks.inside import in_new_namespace
from builder.sandbox.networks.netlink import Links, Route
from builder.sandbox.resolvconf import FORWARDER, local_server
from builder.sandbox.runtime import forwarding

_PREFIX = "builder-"
_INSIDE = "eth0"
_POOLS = (((10, 64), 10), ((172, 16), 12), ((192, 168), 16), ((100, 64), 10), ((198, 18), 15))
"""Where addresses come from: private ones first."""
_TRIES = 32
_NOWHERE, _DISCARD = bytes((198, 51, 100, 1)), 9
_PATIENCE = 1.0
"""Seconds that a packet of the trial may take; it takes far less than a millisecond."""


class Nat:
    """Made ready by its constructor, which raises OSError where that cannot be; `close` ends it.

    Steps reach nothing of this machine but, with `reaches_host`, what listens at `gateway`.
    """

    kind = "nat"

    def __init__(self, *, reaches_host: bool) -> None:
        with contextlib.ExitStack() as stack:
            self._here = Links()
            stack.callback(self._here.close)
            routes = self._here.routes()
            network = _free_network(routes)
            self.gateway, self._address = _packed(network + 1), _packed(network + 2)
            self._name = f"{_PREFIX}{os.urandom(3).hex()}"
            uplinks = self._uplinks(routes)
            self._namespace, trial = in_new_namespace(lambda fd: self._connect(fd, _mtu(uplinks)))
            stack.callback(os.close, self._namespace)
            stack.callback(trial.close)
            self.path = f"/proc/{os.getpid()}/fd/{self._namespace}"
            held, switched = forwarding.hold((*uplinks, self._name))
            stack.callback(forwarding.release, held)
            self._table = nft.Table(self._name)
            stack.callback(self._table.close)
            self._set_rules(tuple(name for name in switched if name in uplinks), reaches_host=reaches_host)
            # Where nothing leads out, nothing can be in the way.
            if any(route.length == 0 and route.is_unicast for route in routes):
                self._try(trial)
            if server := local_server():
                from builder.sandbox.networks.nameserver import NameServer

                stack.callback(NameServer(self.path, server).close)
            self._resources = stack.pop_all()

    def close(self) -> None:
        """Steps that use it must have ended. Idempotent."""
        self._resources.close()

    def host_address(self) -> str:
        """The address at which steps reach this machine, with `reaches_host`."""
        return _socket.inet_ntoa(self.gateway)

    def _uplinks(self, routes: list[Route]) -> tuple[str, ...]:
        """The interfaces by which packets leave, and answers come back."""
        names = self._here.names()
        found = dict.fromkeys(names.get(route.index, "") for route in routes if route.is_unicast)
        return tuple(name for name in found if name and name != "lo" and not name.startswith(_PREFIX))

    def _connect(self, namespace: int, mtu: int) -> tuple[int, _socket.socket]:
        """Runs in the new namespace, which the descriptor stands for; returns that, and a socket of the namespace."""
        near, far = (b"\x02" + os.urandom(5) for _ in range(2))
        self._here.add_veth((self._name, near), (_INSIDE, far), namespace, mtu)
        # A link that leads nowhere by IPv6 is no reason to ask name servers for such addresses.
        with contextlib.suppress(OSError), open(f"/proc/sys/net/ipv6/conf/{_INSIDE}/disable_ipv6", "w") as file:
            file.write("1")
        index = self._here.index(self._name)
        self._here.add_address(index, self.gateway, 30)
        self._here.raise_link(index)
        self._here.add_neighbour(index, self._address, far)
        there = Links()
        try:
            loopback, inside = there.index("lo"), there.index(_INSIDE)
            there.raise_link(loopback)
            there.add_address(loopback, _socket.inet_aton(FORWARDER), 32)
            there.add_address(inside, self._address, 30)
            there.raise_link(inside)
            there.add_neighbour(inside, self.gateway, near)
            there.add_default(self.gateway)
        finally:
            there.close()
        return namespace, _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)

    def _set_rules(self, guarded: tuple[str, ...], *, reaches_host: bool) -> None:
        table, ours, steps = self._table, self._name, f"{_PREFIX}*"
        table.chain("input", "filter", nft.INPUT, nft.FILTER)
        if reaches_host:
            table.rule("input", nft.from_interface(ours), nft.ipv4(), nft.source(self._address),
                       nft.destination(self.gateway), nft.accept())
        _refuse(table, "input", nft.from_interface(ours))
        table.chain("forward", "filter", nft.FORWARD, nft.FILTER)
        table.rule("forward", nft.from_interface(ours), nft.ipv6(), nft.drop())
        table.rule("forward", nft.from_interface(ours), nft.ipv4(), nft.not_source(self._address), nft.drop())
        # Other steps; and what this machine hands on to services of its own, such as published ports.
        _refuse(table, "forward", nft.from_interface(ours) + nft.to_interface(steps))
        _refuse(table, "forward", nft.from_interface(ours) + nft.connection_status(nft.STATUS_DNAT))
        table.rule("forward", nft.to_interface(ours), nft.connection_state(nft.STATE_NEW), nft.drop())
        for uplink in guarded:
            table.rule("forward", nft.ipv4(), nft.from_interface(uplink), nft.not_to_interface(steps), nft.drop())
        table.chain("trial", "filter", nft.POSTROUTING, nft.SOURCE_NAT - 1)
        table.rule("trial", nft.ipv4(), nft.source(self._address), nft.destination(_NOWHERE),
                   nft.udp_to_port(_DISCARD), nft.count(), nft.drop())
        table.chain("nat", "nat", nft.POSTROUTING, nft.SOURCE_NAT)
        table.rule("nat", nft.ipv4(), nft.source(self._address), nft.not_to_interface(ours), nft.masquerade())
        table.apply()

    def _try(self, trial: _socket.socket) -> None:
        """Raises OSError when nothing that a step sends would leave this machine."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            # Links that have just been switched on may lose the first ones.
            trial.sendto(b"", (_socket.inet_ntoa(_NOWHERE), _DISCARD))
            if self._table.counted("trial"):
                return
            time.sleep(0.0005)
        raise OSError(1, "the firewall of this machine drops what is forwarded")


def _refuse(table: nft.Table, chain: str, matches: bytes) -> None:
    table.rule(chain, matches, nft.reset())
    table.rule(chain, matches, nft.reject())


def _free_network(routes: list[Route]) -> int:
    """The first of four addresses that no route of this machine leads to, but for the default."""
    taken = [(int.from_bytes(route.destination, "big"), route.length) for route in routes if route.length > 1]
    first = 0
    for (high, low), length in _POOLS:
        for _ in range(_TRIES):
            first = (high << 24 | low << 16) + int.from_bytes(os.urandom(4), "big") % (1 << 30 - length) * 4
            if not any(first >> 32 - min(bits, 30) == base >> 32 - min(bits, 30) for base, bits in taken):
                return first
    return first


def _packed(address: int) -> bytes:
    return address.to_bytes(4, "big")


def _mtu(names: tuple[str, ...]) -> int:
    """The smallest of the interfaces' packet sizes: many networks do not say that a packet was too large."""
    sizes = [1500]
    for name in names:
        with contextlib.suppress(OSError, ValueError), open(f"/sys/class/net/{name}/mtu") as file:
            sizes.append(int(file.read()))
    return max(min(sizes), 1280)

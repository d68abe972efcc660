"""nftables over netlink: a table of rules that the kernel removes when its owner's socket closes, even by a kill.

Only what `nat` and `guard` need: rules made of expressions, in the kernel's own terms. Reference: nftables(8),
linux/netfilter/nf_tables.h. Numbers are in the network's byte order, but for what is compared in a register.
"""

from __future__ import annotations

import struct

from builder.sandbox.networks.netlink import ACK, CREATE, DUMP, NETFILTER, Netlink, attribute, attributes

INPUT, FORWARD, POSTROUTING = 1, 2, 4
"""Hooks that a chain can be at."""
OUTPUT = 3
EGRESS = 1
"""The hook of an interface that everything leaves by, packets of packet sockets too. Linux 5.16, family DEVICE."""
INET, DEVICE = 1, 5
"""Families of tables: for packets of IPv4 and IPv6, for frames of interfaces."""
LINK, NETWORK = 0, 1
"""Where a packet's bytes are counted from: the frame's header, that of IP."""
FILTER, SOURCE_NAT = 0, 100
"""Priorities."""

_NFTABLES, _BATCH_BEGIN, _BATCH_END = 10 << 8, 16, 17
_NEWTABLE, _NEWCHAIN, _NEWRULE, _GETRULE = 0, 3, 6, 7
_APPEND = 0x800
_OWNER = 2
_NESTED = 0x8000
_EQUAL, _UNEQUAL, _AT_LEAST = 0, 1, 5
_REGISTER = 1
_IIFNAME, _OIFNAME, _NFPROTO, _L4PROTO = 6, 7, 15, 16
_STATE, _STATUS = 0, 2
STATE_NEW, STATUS_DNAT = 0x8, 0x20
"""Bits of a connection: its first packet; redirected from its original address."""


class Table:
    """Made by `apply`, with everything added before; gone after `close`."""

    def __init__(self, name: str, family: int = INET) -> None:
        self._name = _text(name)
        self._family = family
        self._netlink = Netlink(NETFILTER)
        self._messages: list[bytes] = []
        self._add(_NEWTABLE, CREATE, attribute(1, self._name) + attribute(2, _number(_OWNER)))

    def chain(self, name: str, kind: str, hook: int, priority: int, device: str = "") -> None:
        at = attribute(1, _number(hook)) + attribute(2, struct.pack("!i", priority))
        if device:
            at += attribute(3, _text(device))
        self._add(_NEWCHAIN, CREATE, attribute(1, self._name) + attribute(3, _text(name)) + _nest(4, at)
                  + attribute(7, _text(kind)))

    def rule(self, chain: str, *expressions: bytes) -> None:
        self._add(_NEWRULE, CREATE | _APPEND, attribute(1, self._name) + attribute(2, _text(chain))
                  + _nest(4, b"".join(expressions)))

    def apply(self) -> None:
        """All of it or nothing. Raises OSError."""
        message = self._netlink.message
        family = struct.pack("!BBH", 0, 0, _NFTABLES >> 8)
        batch = [message(_BATCH_BEGIN, 0, family), *self._messages, message(_BATCH_END, 0, family)]
        self._netlink.exchange("set rules of nftables", b"".join(batch), len(self._messages))

    def counted(self, chain: str) -> int:
        """How many packets the counters of a chain have seen."""
        body = struct.pack("!BBH", self._family, 0, 0) + attribute(1, self._name) + attribute(2, _text(chain))
        packets = 0
        for _, answer in self._netlink.request("read a counter of nftables", _NFTABLES | _GETRULE, DUMP, body):
            rest = attributes(answer[4:]).get(4, b"")
            while len(rest) >= 4:
                length = struct.unpack_from("=H", rest)[0]
                expression = attributes(rest[4:length])
                if expression.get(1) == b"counter\0":
                    packets += int.from_bytes(attributes(expression[2]).get(2, b""), "big")
                rest = rest[(length + 3) & ~3:]
        return packets

    def close(self) -> None:
        self._netlink.close()

    def _add(self, kind: int, flags: int, body: bytes) -> None:
        header = struct.pack("!BBH", self._family, 0, 0)
        self._messages.append(self._netlink.message(_NFTABLES | kind, flags | ACK, header + body))


def from_interface(name: str) -> bytes:
    """Packets that came in there; a name that ends in `*` stands for all that begin so."""
    return _meta(_IIFNAME) + _compare(_EQUAL, _interface(name))


def to_interface(name: str) -> bytes:
    return _meta(_OIFNAME) + _compare(_EQUAL, _interface(name))


def not_to_interface(name: str) -> bytes:
    return _meta(_OIFNAME) + _compare(_UNEQUAL, _interface(name))


def ipv4() -> bytes:
    return _meta(_NFPROTO) + _compare(_EQUAL, b"\2")


def ipv6() -> bytes:
    return _meta(_NFPROTO) + _compare(_EQUAL, b"\12")


def source(packed: bytes) -> bytes:
    """Only after `ipv4`, as the next three."""
    return _payload(1, 12, 4) + _compare(_EQUAL, packed)


def not_source(packed: bytes) -> bytes:
    return _payload(1, 12, 4) + _compare(_UNEQUAL, packed)


def destination(packed: bytes) -> bytes:
    return _payload(1, 16, 4) + _compare(_EQUAL, packed)


def has(base: int, offset: int, value: bytes) -> bytes:
    """Packets with these bytes there; none that have no header to count from."""
    return _payload(base, offset, len(value)) + _compare(_EQUAL, value)


def has_not(base: int, offset: int, value: bytes) -> bytes:
    return _payload(base, offset, len(value)) + _compare(_UNEQUAL, value)


def has_at_least(base: int, offset: int, value: bytes) -> bytes:
    return _payload(base, offset, len(value)) + _compare(_AT_LEAST, value)


def udp_to_port(port: int) -> bytes:
    return _meta(_L4PROTO) + _compare(_EQUAL, b"\21") + _payload(2, 2, 2) + _compare(_EQUAL, struct.pack("!H", port))


def connection_state(bits: int) -> bytes:
    return _connection(_STATE, bits)


def connection_status(bits: int) -> bytes:
    return _connection(_STATUS, bits)


def count() -> bytes:
    return _expression("counter", b"")


def masquerade() -> bytes:
    return _expression("masq", b"")


def accept() -> bytes:
    return _verdict(1)


def drop() -> bytes:
    return _verdict(0)


def reject() -> bytes:
    """Answers that nothing listens there, so that nobody waits."""
    return _expression("reject", attribute(1, _number(2)) + attribute(2, b"\1"))


def reset() -> bytes:
    """The same for TCP, whose connections take the other answer for a passing trouble."""
    return _meta(_L4PROTO) + _compare(_EQUAL, b"\6") + _expression("reject", attribute(1, _number(1)))


def _connection(key: int, bits: int) -> bytes:
    mask = _nest(4, attribute(1, struct.pack("=I", bits))) + _nest(5, attribute(1, bytes(4)))
    loaded = _expression("ct", attribute(1, _number(_REGISTER)) + attribute(2, _number(key)))
    masked = _expression("bitwise", attribute(1, _number(_REGISTER)) + attribute(2, _number(_REGISTER))
                         + attribute(3, _number(4)) + mask)
    return loaded + masked + _compare(_UNEQUAL, bytes(4))


def _verdict(code: int) -> bytes:
    return _expression("immediate", attribute(1, _number(0)) + _nest(2, _nest(2, attribute(1, _number(code)))))


def _meta(key: int) -> bytes:
    return _expression("meta", attribute(1, _number(_REGISTER)) + attribute(2, _number(key)))


def _payload(base: int, offset: int, length: int) -> bytes:
    values = enumerate((_REGISTER, base, offset, length), 1)
    return _expression("payload", b"".join(attribute(kind, _number(value)) for kind, value in values))


def _compare(operator: int, value: bytes) -> bytes:
    return _expression("cmp", attribute(1, _number(_REGISTER)) + attribute(2, _number(operator))
                       + _nest(3, attribute(1, value)))


def _expression(name: str, data: bytes) -> bytes:
    return _nest(1, attribute(1, _text(name)) + _nest(2, data))


def _interface(name: str) -> bytes:
    return name[:-1].encode() if name.endswith("*") else name.encode().ljust(16, b"\0")


def _nest(kind: int, value: bytes) -> bytes:
    return attribute(kind | _NESTED, value)


def _number(value: int) -> bytes:
    return struct.pack("!I", value)


def _text(value: str) -> bytes:
    return value.encode() + b"\0"

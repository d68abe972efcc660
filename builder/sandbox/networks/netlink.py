"""Netlink: requests to the kernel about links, addresses and routes. Reference: netlink(7), rtnetlink(7).

A socket speaks of the network namespace that its thread was in when it was made, wherever the thread goes later.
Numbers in messages are in the machine's byte order, addresses in the network's.
"""

from __future__ import annotations

import _socket
import errno
import os
import struct
from collections.abc import Iterator

import msgspec

ROUTE, NETFILTER = 0, 12
ACK, DUMP, CREATE = 0x4, 0x300, 0x400
"""Flags of a request: answer when done; all there are; make it (EXCL: and it must be new)."""
_REQUEST, _EXCL = 0x1, 0x200
_ERROR, _DONE = 2, 3
_ANSWER_SIZE = 1 << 17

_NEWLINK, _DELLINK, _GETLINK, _NEWADDR, _GETADDR, _NEWROUTE, _GETROUTE = 16, 17, 18, 20, 22, 24, 26
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_NEWNEIGH, _NDA_DST, _NDA_LLADDR, _PERMANENT = 28, 1, 2, 0x80
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_TABLE_MAIN, _PROTOCOL_STATIC, _UNICAST, _UNREACHABLE = 254, 4, 1, 7
_UP = 1

Attributes = dict[int, bytes]


class Address(msgspec.Struct, frozen=True):
    packed: bytes
    """4 or 16 bytes."""
    index: int
    """Of the interface that has it."""

    @property
    def family(self) -> int:
        return family_of(self.packed)


class Route(msgspec.Struct, frozen=True):
    destination: bytes
    """Its first `length` bits count."""
    length: int
    index: int
    """Of the interface that it leads to; 0 for none or several."""
    is_unicast: bool


class Netlink:
    """A socket of one protocol; closed by the caller."""

    def __init__(self, protocol: int) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, protocol)
        self._socket.bind((0, 0))
        self._serial = 0

    def close(self) -> None:
        self._socket.close()

    def message(self, kind: int, flags: int, body: bytes) -> bytes:
        self._serial += 1
        return struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | flags, self._serial, 0) + body

    def request(self, what: str, kind: int, flags: int, body: bytes) -> list[tuple[int, bytes]]:
        """The answers to one request, as kind and body. Raises OSError with `what` in front of its text."""
        return self.exchange(what, self.message(kind, flags | (0 if flags & DUMP == DUMP else ACK), body), 1)

    def exchange(self, what: str, messages: bytes, ends: int) -> list[tuple[int, bytes]]:
        """Sends `messages`, of which `ends` are acknowledged or end their answers. Raises as `request` does."""
        self._socket.send(messages)
        answers = []
        while ends:
            for kind, body in _messages(self._socket.recv(_ANSWER_SIZE)):
                if kind == _ERROR:
                    number = -int(struct.unpack_from("=i", body)[0])
                    if number:
                        raise OSError(number, f"{what}: {os.strerror(number)}")
                if kind in (_ERROR, _DONE):
                    ends -= 1
                else:
                    answers.append((kind, body))
        return answers


class Links(Netlink):
    """Links, addresses and routes of one network namespace."""

    def __init__(self) -> None:
        super().__init__(ROUTE)

    def add_veth(self, here: tuple[str, bytes], there: tuple[str, bytes], namespace: int, mtu: int) -> None:
        """A pair of interfaces, by name and hardware address, one in the namespace of the descriptor `namespace`."""
        near, far = (_link(0) + attribute(_IFLA_IFNAME, name.encode() + b"\0") + attribute(_IFLA_ADDRESS, hardware)
                     + attribute(_IFLA_MTU, struct.pack("=I", mtu)) for name, hardware in (here, there))
        far += attribute(_IFLA_NET_NS_FD, struct.pack("=I", namespace))
        info = attribute(_INFO_KIND, b"veth") + attribute(_INFO_DATA, attribute(_VETH_PEER, far))
        self.request(f"make the interface `{here[0]}`", _NEWLINK, CREATE | _EXCL,
                     near + attribute(_IFLA_LINKINFO, info))

    def delete(self, name: str) -> None:
        self.request(f"remove the interface `{name}`", _DELLINK, 0,
                     _link(0) + attribute(_IFLA_IFNAME, name.encode() + b"\0"))

    def index(self, name: str) -> int:
        answers = self.request(f"find the interface `{name}`", _GETLINK, 0,
                               _link(0) + attribute(_IFLA_IFNAME, name.encode() + b"\0"))
        return int(struct.unpack_from("=i", answers[0][1], 4)[0])

    def names(self) -> dict[int, str]:
        """The interfaces by index."""
        found = {}
        for _, body in self.request("list the interfaces", _GETLINK, DUMP, _link(0)):
            name = attributes(body[16:]).get(_IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")
            found[int(struct.unpack_from("=i", body, 4)[0])] = name
        return found

    def raise_link(self, index: int) -> None:
        self.request("switch an interface on", _NEWLINK, 0, _link(index, _UP))

    def add_address(self, index: int, packed: bytes, length: int) -> None:
        body = struct.pack("=BBBBI", family_of(packed), length, 0, 0, index)
        self.request("give an interface its address", _NEWADDR, CREATE | _EXCL,
                     body + attribute(_IFA_LOCAL, packed) + attribute(_IFA_ADDRESS, packed))

    def addresses(self) -> list[Address]:
        found = []
        for _, body in self.request("list the addresses", _GETADDR, DUMP, struct.pack("=BBBBI", 0, 0, 0, 0, 0)):
            values = attributes(body[8:])
            if packed := values.get(_IFA_LOCAL) or values.get(_IFA_ADDRESS):
                found.append(Address(packed, int(struct.unpack_from("=I", body, 4)[0])))
        return found

    def add_neighbour(self, index: int, packed: bytes, hardware: bytes) -> None:
        """Says for good which hardware address has an address: nobody need ask, or be heard."""
        body = struct.pack("=BxHiHBB", family_of(packed), 0, index, _PERMANENT, 0, 0)
        self.request("name a neighbour", _NEWNEIGH, CREATE,
                     body + attribute(_NDA_DST, packed) + attribute(_NDA_LLADDR, hardware))

    def add_default(self, gateway: bytes) -> None:
        self._add_route("set the default route", gateway, 0, _UNICAST, attribute(_RTA_GATEWAY, gateway))

    def forbid(self, packed: bytes) -> None:
        """Makes one address unreachable, unless it is this namespace's own. Idempotent."""
        try:
            self._add_route("close the way to an address", packed, len(packed) * 8, _UNREACHABLE,
                            attribute(_RTA_DST, packed))
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise

    def routes(self) -> list[Route]:
        """The IPv4 routes of all tables."""
        found = []
        for _, body in self.request("list the routes", _GETROUTE, DUMP, struct.pack("=BBBBBBBBI", 2, *bytes(7), 0)):
            values = attributes(body[12:])
            index = int.from_bytes(values.get(_RTA_OIF, b""), "little" if struct.pack("=H", 1)[0] else "big")
            found.append(Route(values.get(_RTA_DST, bytes(4)), body[1], index, body[7] == _UNICAST))
        return found

    def _add_route(self, what: str, like: bytes, length: int, kind: int, rest: bytes) -> None:
        header = struct.pack("=BBBBBBBBI", family_of(like), length, 0, 0, _TABLE_MAIN, _PROTOCOL_STATIC, 0, kind, 0)
        self.request(what, _NEWROUTE, CREATE | _EXCL, header + rest)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> Attributes:
    """What a row of attributes says, by kind."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[4:length]
        data = data[(length + 3) & ~3:]
    return found


def family_of(packed: bytes) -> int:
    return int(_socket.AF_INET if len(packed) == 4 else _socket.AF_INET6)


def _link(index: int, flags: int = 0) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, flags)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3:]

"""Rules that keep what leaves a namespace for pasta from this machine.

pasta connects to whatever a packet is addressed to, from here: to this machine's own addresses, and to its loopback. No
route leads packets there, but routes are not asked everywhere: a program may name the interface with a link-local
address, and who has CAP_NET_RAW, as root in steps has, writes whole packets and frames. So they are looked at where
they leave. What a frame is, its own bytes say: its sender may have told the kernel anything.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from builder.sandbox.networks import nftables as nft

_NAME = "builder"
_ETHER = 14
"""Bytes of a frame before the header of IP; its kind is the last two."""
_IPV4, _IPV6, _ARP = b"\x08\x00", b"\x86\xdd", b"\x08\x06"
_TO_IPV4, _TO_IPV6 = 16, 24
"""Where the destination stands in the headers of IP."""
_NEXT_HEADER, _ICMPV6 = 6, b"\x3a"


def guard(device: str, addresses: Iterable[bytes]) -> nft.Table:
    """Lets nothing out by `device` of this thread's network namespace that is addressed to `addresses`, any loopback,
    or a group. Lasts until the table is closed. Raises OSError.

    Before Linux 5.16 frames of packet sockets are not seen.
    """
    addresses = list(addresses)
    try:
        return _frames(device, addresses)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOENT, errno.EINVAL):
            raise
    return _packets(device, addresses)


def _frames(device: str, addresses: list[bytes]) -> nft.Table:
    table = nft.Table(_NAME, nft.DEVICE)
    try:
        table.chain("out", "filter", nft.EGRESS, nft.FILTER, device)
        for kind in (_IPV4, _IPV6):
            is_kind = nft.has(nft.LINK, _ETHER - 2, kind)
            _refuse(table, is_kind, kind, addresses, nft.LINK, _ETHER)
            table.rule("out", is_kind, nft.accept())
        table.rule("out", nft.has(nft.LINK, _ETHER - 2, _ARP), nft.accept())
        table.rule("out", nft.drop())
        table.apply()
    except BaseException:
        table.close()
        raise
    return table


def _packets(device: str, addresses: list[bytes]) -> nft.Table:
    table = nft.Table(_NAME)
    try:
        table.chain("out", "filter", nft.OUTPUT, nft.FILTER)
        for kind, is_kind in ((_IPV4, nft.ipv4()), (_IPV6, nft.ipv6())):
            _refuse(table, nft.to_interface(device) + is_kind, kind, addresses, nft.NETWORK, 0)
        table.apply()
    except BaseException:
        table.close()
        raise
    return table


def _refuse(table: nft.Table, matches: bytes, kind: bytes, addresses: list[bytes], base: int, start: int) -> None:
    to = start + (_TO_IPV4 if kind == _IPV4 else _TO_IPV6)
    length = 4 if kind == _IPV4 else 16
    refused = [nft.has(base, to, address) for address in addresses if len(address) == length]
    if kind == _IPV4:
        # 0.0.0.0 is this machine as well; from 224 on there are groups, and all at once.
        refused += [nft.has(base, to, b"\0"), nft.has(base, to, b"\x7f"), nft.has_at_least(base, to, b"\xe0")]
    else:
        # The first 64 bits of `::`, `::1`, and IPv4 in other clothes. Neighbours are found by groups.
        refused += [nft.has(base, to, bytes(8)),
                    nft.has(base, to, b"\xff") + nft.has_not(base, start + _NEXT_HEADER, _ICMPV6)]
    for match in refused:
        table.rule("out", matches, match, nft.drop())

"""IP prefixes in CIDR notation."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from builder.bake.errors import ExpressionError
from builder.bake.functions.function import Function
from builder.bake.values import Value

if TYPE_CHECKING:
    import ipaddress

Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


def _prefix(text: str) -> Network:
    import ipaddress

    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else _invalid(text)
    except ValueError:
        return _invalid(text)


def _invalid(text: str) -> Network:
    raise ExpressionError(f"invalid CIDR expression: `{text}`")


def _host(prefix: str, number: int) -> str:
    network = _prefix(prefix)
    if not -network.num_addresses <= number < network.num_addresses:
        raise ExpressionError(f"prefix of {network.prefixlen} does not accommodate a host numbered {number}")
    return str(network[number])


def _netmask(prefix: str) -> str:
    network = _prefix(prefix)
    if network.version != 4:
        raise ExpressionError("IPv6 addresses cannot have a netmask")
    return str(network.netmask)


def _subnet(prefix: str, bits: int, number: int) -> str:
    import ipaddress

    network = _prefix(prefix)
    length = network.prefixlen + bits
    if bits < 0 or length > network.max_prefixlen:
        raise ExpressionError(f"insufficient address space to extend prefix of {network.prefixlen} by {bits}")
    if not 0 <= number < 1 << bits:
        raise ExpressionError(f"prefix extension of {bits} does not accommodate a subnet numbered {number}")
    start = int(network.network_address) + (number << (network.max_prefixlen - length))
    address = ipaddress.IPv4Address(start) if network.version == 4 else ipaddress.IPv6Address(start)
    return f"{address}/{length}"


def _subnets(prefix: str, *bits: int) -> Value:
    """Consecutive subnets, each at the next place where one of its size can begin."""
    import ipaddress

    network = _prefix(prefix)
    position, found = int(network.network_address), []
    for extra in bits:
        length = network.prefixlen + extra
        if extra < 1 or length > network.max_prefixlen:
            raise ExpressionError(f"insufficient address space to extend prefix of {network.prefixlen} by {extra}")
        size = 1 << (network.max_prefixlen - length)
        position = -(-position // size) * size
        if position + size > int(network.network_address) + network.num_addresses:
            raise ExpressionError(f"not enough remaining address space for a subnet with a prefix of {length} bits")
        address = ipaddress.IPv4Address(position) if network.version == 4 else ipaddress.IPv6Address(position)
        found.append(f"{address}/{length}")
        position += size
    return tuple(found)


FUNCTIONS = {
    "cidrhost": Function(_host, ("string", "whole")), "cidrnetmask": Function(_netmask, ("string",)),
    "cidrsubnet": Function(_subnet, ("string", "whole", "whole")),
    "cidrsubnets": Function(_subnets, ("string",), "whole"),
}

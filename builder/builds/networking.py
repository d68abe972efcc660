"""--network and --add-host as values."""

from __future__ import annotations

import os

import msgspec

from builder.errors import InvalidValue, UsageError
from builder.plan.vertices import Network
from builder.solver.networkmodes import HOST_GATEWAY

_NAMESPACE = "ns:"


class NetworkMode(msgspec.Struct, frozen=True):
    network: Network = Network.DEFAULT
    namespace: str = ""
    """Absolute path of the network namespace that steps join."""

    @classmethod
    def parse(cls, text: str) -> NetworkMode:
        """default, none, host, private or ns:PATH; "" is default. Raises InvalidValue."""
        if text.startswith(_NAMESPACE):
            path = text.removeprefix(_NAMESPACE)
            if not os.path.exists(path):
                raise InvalidValue(f"network mode `{text}`: there is no file `{path}`")
            return cls(namespace=os.path.abspath(path))
        try:
            return cls(Network(text or "default"))
        except ValueError:
            hint = "use default, none, host, private or ns:PATH"
            if text.startswith("container:"):
                hint = f"there are no running containers to join; {hint}"
            raise InvalidValue(f'network mode "{text}" not supported', hint=hint) from None


class HostEntry(msgspec.Struct, frozen=True):
    """A line of the steps' /etc/hosts."""

    name: str
    address: str
    """An IP address, or `host-gateway`."""

    @classmethod
    def parse(cls, text: str) -> HostEntry:
        """`host:ip` or `host=ip`, an IPv6 address also in brackets. Raises InvalidValue."""
        name, _, address = text.partition("=" if "=" in text else ":")
        address = address.removeprefix("[").removesuffix("]")
        if not name or not address:
            raise InvalidValue(f"invalid host {text}", hint="write it as host:ip or host=ip")
        if address != HOST_GATEWAY:
            check_address(address, f"invalid IP address in add-host: `{address}`")
        return cls(name, address)


def check_address(address: str, message: str) -> None:
    """Raises UsageError with the message for what is not an IP address."""
    import ipaddress

    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise UsageError(message) from None

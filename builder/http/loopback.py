"""Which hosts are this machine. Every build that names a registry imports this: it imports nothing itself."""

from __future__ import annotations


def is_loopback(host: str) -> bool:
    """Whether `name` or `name:port` is this machine; an IPv6 address with a port is in brackets."""
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host if host.count(":") > 1 else host.partition(":")[0]
    return name in {"localhost", "::1"} or (name.startswith("127.") and name.replace(".", "").isdecimal())

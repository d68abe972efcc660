"""/etc/resolv.conf as steps see it: the host's, without what only works on the host. Reference: resolv.conf(5)."""

from __future__ import annotations

import _socket

from builder.plan.vertices import Dns

HOST_FILE = "/etc/resolv.conf"
SYSTEMD_FILE = "/run/systemd/resolve/resolv.conf"
"""What systemd-resolved knows itself, where the other file only names its stub on the loopback."""

DEFAULT_SERVERS = ("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844")
"""BuildKit's, for where no server is left."""

FORWARDER = "169.254.1.1"
"""In a network of a step's own, queries sent there go to this machine's name server, where only it can be asked."""

_STUB = ("127.0.0.53",)


def resolv_conf(dns: Dns = Dns(), *, private: bool = False, forwarder: str = "") -> bytes:  # noqa: B008  # immutable
    """The file's content; in a private network `forwarder` stands for servers on the host's loopback."""
    return resolv_conf_over(host_resolver(private=private), dns, private=private, forwarder=forwarder)


def resolv_conf_over(host: Dns, dns: Dns, *, private: bool, forwarder: str) -> bytes:
    """The same, with what the host has."""
    servers = dns.servers or _reachable(host.servers, private=private)
    lines = [f"nameserver {server}" for server in servers or (forwarder and (forwarder,)) or DEFAULT_SERVERS]
    search, options = dns.search or host.search, dns.options or host.options
    # As in docker: `.` alone means no search domains at all.
    if search and search != (".",):
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "".join(f"{line}\n" for line in lines).encode()


def host_resolver(*, private: bool) -> Dns:
    """What the host's file says; for a private network that of systemd-resolved where the host has only its stub."""
    found = _read(HOST_FILE)
    if private and found.servers == _STUB:
        return _read(SYSTEMD_FILE)
    return found


def local_server() -> str:
    """The host's name server, where all that it has are its own, so that a private network cannot reach them; or ""."""
    servers = host_resolver(private=True).servers
    return "" if not servers or _reachable(servers, private=True) else servers[0]


def _reachable(servers: tuple[str, ...], *, private: bool) -> tuple[str, ...]:
    return tuple(server for server in servers if not private or not _is_own(server))


def _is_own(server: str) -> bool:
    """Whether the address is this machine's: only such a one can a socket be bound to."""
    family = _socket.AF_INET6 if ":" in server else _socket.AF_INET
    probe = _socket.socket(family, _socket.SOCK_DGRAM)
    try:
        probe.bind((server, 0))
    except OSError:
        return False
    finally:
        probe.close()
    return True


def _read(path: str) -> Dns:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return parse_resolv_conf(file.read())
    except OSError:
        return Dns()


def parse_resolv_conf(text: str) -> Dns:
    """What the lines of such a file say; of several `search` lines the last one counts."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        match keyword:
            case "nameserver":
                servers += values[:1]
            case "search" | "domain":
                search = tuple(values)
            case "options":
                options += values
    return Dns(servers=tuple(servers), search=search, options=tuple(options))

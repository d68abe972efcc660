"""/etc/resolv.conf as steps see it: the host's, without what only works on the host. Reference: resolv.conf(5)."""

from __future__ import annotations

from builder.plan.vertices import Dns

HOST_FILE = "/etc/resolv.conf"
SYSTEMD_FILE = "/run/systemd/resolve/resolv.conf"
"""What systemd-resolved knows itself, where the other file only names its stub on the loopback."""

DEFAULT_SERVERS = ("8.8.8.8", "8.8.4.4", "2001:4860:4860::8888", "2001:4860:4860::8844")
"""BuildKit's, for where no server is left."""

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


def needs_forwarder() -> bool:
    """Whether every name server of the host is on its loopback, so that a private network cannot reach it."""
    servers = host_resolver(private=True).servers
    return bool(servers) and not _reachable(servers, private=True)


def _reachable(servers: tuple[str, ...], *, private: bool) -> tuple[str, ...]:
    return tuple(s for s in servers if not private or not (s.startswith("127.") or s == "::1"))


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

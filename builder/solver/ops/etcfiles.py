"""/etc/hosts and /etc/resolv.conf as a step sees them: the image's own are hidden and stay unchanged."""

from __future__ import annotations

from collections.abc import Sequence

from builder.plan.vertices import Dns
from builder.sandbox.container import ContainerMount, File
from builder.sandbox.resolvconf import FORWARDER, resolv_conf
from builder.solver.networkmodes import HOST_GATEWAY


def etc_files(hostname: str, extra_hosts: Sequence[tuple[str, str]] = (), *, dns: Dns = Dns(),  # noqa: B008
              hosts_file: bool = True, private: bool = False, gateway: str = "127.0.0.1") -> list[ContainerMount]:
    """`private` says that the step's network is not the host's, `gateway` where the host is in it."""
    files: list[ContainerMount] = []
    if dns.servers != ("none",):
        resolver = resolv_conf(dns, private=private, forwarder=FORWARDER)
        files.append(File(target="/etc/resolv.conf", content=resolver, mode=0o644))
    if hosts_file:
        files.append(File(target="/etc/hosts", content=_hosts(hostname, extra_hosts, gateway).encode(),
                          mode=0o644))
    return files


def _hosts(hostname: str, extra_hosts: Sequence[tuple[str, str]], gateway: str) -> str:
    lines = [f"127.0.0.1\tlocalhost {hostname}", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{gateway if address == HOST_GATEWAY else address}\t{name}" for name, address in extra_hosts]
    return "".join(f"{line}\n" for line in lines)

"""EXPOSE: `[ip:][host:]port[-port][/protocol]` becomes `port/protocol` names (docker's nat package)."""

from __future__ import annotations

from builder.golang.numbers import parse_integer
from builder.plan.errors import PlanError


class PortSpec:
    """One word of EXPOSE. `ports` are the names for the image config; the rest is for the checks."""

    def __init__(self, text: str) -> None:
        """Raises PlanError."""
        parts = text.rsplit(":", 2)
        container = parts[-1]
        self.host_port = parts[-2] if len(parts) > 1 else ""
        self.host_ip = parts[0] if len(parts) > 2 else ""
        port, _, protocol = container.partition("/")
        if not port:
            raise PlanError(f'invalid port: "{text}": no port specified')
        if protocol.lower() not in {"", "tcp", "udp", "sctp"}:
            raise PlanError(f'invalid port: "{text}": invalid proto: {protocol}')
        self.protocol = protocol or "tcp"
        self._check_ip()
        first, last = _port_range(port, "containerPort")
        if self.host_port:
            host_first, host_last = _port_range(self.host_port, "hostPort")
            if last - first != host_last - host_first and last != first:
                raise PlanError(f"invalid ranges specified for container and host Ports: {port} and {self.host_port}")
        self.ports = tuple(f"{number}/{self.protocol.lower()}" for number in range(first, last + 1))

    def _check_ip(self) -> None:
        ip = self.host_ip
        if ip.startswith("[") and ip.endswith("]"):
            ip = ip[1:-1]
        if ip:
            import ipaddress

            try:
                ipaddress.ip_address(ip)
            except ValueError:
                raise PlanError(f"invalid IP address: {ip}") from None


def _port_range(text: str, what: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    start = _port(first)
    end = _port(last) if dash else start
    if start is None or end is None or end < start:
        raise PlanError(f"invalid {what}: {text}", hint="a port is a number up to 65535, a range is written 8000-8010")
    return start, end


def _port(text: str) -> int | None:
    try:
        number = parse_integer(text, 64)
    except ValueError:
        return None
    return number if 0 <= number <= 65535 else None

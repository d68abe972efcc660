from __future__ import annotations

import pytest

from builder.plan.vertices import Dns
from builder.sandbox.resolvconf import parse_resolv_conf, resolv_conf_over

STUB = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n"
MIXED = "# comment\nnameserver 127.0.0.1\nnameserver ::1\nnameserver 10.0.0.1\ndomain a\nsearch b c\noptions x\n"


def test_what_a_file_says() -> None:
    assert parse_resolv_conf(MIXED) == Dns(
        servers=("127.0.0.1", "::1", "10.0.0.1"), search=("b", "c"), options=("x",))
    assert parse_resolv_conf("nameserver\n;\n\nnameserver 1.1.1.1 2.2.2.2\n") == Dns(servers=("1.1.1.1",))


@pytest.mark.parametrize(("host", "dns", "private", "content"), [
    (MIXED, Dns(), False, "nameserver 127.0.0.1\nnameserver ::1\nnameserver 10.0.0.1\nsearch b c\noptions x\n"),
    (MIXED, Dns(), True, "nameserver 10.0.0.1\nsearch b c\noptions x\n"),
    (STUB, Dns(), True, "nameserver 169.254.1.1\noptions edns0 trust-ad\n"),
    (STUB, Dns(servers=("127.0.0.1",)), True, "nameserver 127.0.0.1\noptions edns0 trust-ad\n"),
    (MIXED, Dns(servers=("9.9.9.9",), search=(".",), options=("ndots:1",)), False,
     "nameserver 9.9.9.9\noptions ndots:1\n"),
    ("", Dns(), False, "nameserver 169.254.1.1\n"),
])
def test_what_a_step_sees(host: str, dns: Dns, private: bool, content: str) -> None:
    shown = resolv_conf_over(parse_resolv_conf(host), dns, private=private, forwarder="169.254.1.1")
    assert shown.decode() == content


def test_without_any_server_there_are_buildkits() -> None:
    shown = resolv_conf_over(Dns(), Dns(), private=False, forwarder="").decode()
    assert shown.startswith("nameserver 8.8.8.8\nnameserver 8.8.4.4\n")

"""Which hosts are this machine."""

from __future__ import annotations

import pytest

from builder.http.loopback import is_loopback


@pytest.mark.parametrize(("host", "loopback"), [
    ("localhost", True), ("localhost:5000", True), ("127.0.0.1:80", True), ("127.8.9.1", True), ("[::1]:5000", True),
    ("[::1]", True), ("::1", True), ("::2", False), ("[::2]:5000", False), ("", False),
    ("127.example.org", False), ("localhost.example.org", False), ("example.org:5000", False), ("10.0.0.1", False),
])
def test_only_this_machine_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback

"""Which server is meant, and where an answer may lead."""

from __future__ import annotations

import pytest

from builder.http.failures import BadAnswer
from builder.http.redirects import origin, redirected


@pytest.mark.parametrize("other", ["https://a.example:443/y", "https://A.EXAMPLE", "https://me:pw@a.example/"])
def test_one_origin_has_several_spellings(other: str) -> None:
    assert origin("https://a.example/x") == origin(other)


@pytest.mark.parametrize("other", [
    "http://a.example/x", "https://a.example:8443/x", "https://sub.a.example/x", "https://a.example@b.example/x"])
def test_another_scheme_port_or_name_is_another_origin(other: str) -> None:
    assert origin("https://a.example/x") != origin(other)


@pytest.mark.parametrize(("target", "there"), [
    ("/y", "https://a.example/y"), ("y?z#f", "https://a.example/dir/y?z#f"), ("//b.example/y", "https://b.example/y"),
    ("https://b.example:8443", "https://b.example:8443"), ("HTTPS://b.example/", "https://b.example/"),
])
def test_a_redirect_leads_to_a_server(target: str, there: str) -> None:
    assert redirected("https://a.example/dir/x", target, keep_tls=True) == there


@pytest.mark.parametrize(("target", "why"), [
    ("ftp://a.example/", "a ftp URL"), ("file:///etc/passwd", "a file URL"), ("data:,x", "a data URL"),
    ("https://", "names no server"), ("https:///x", "names no server"), ("https://a.example:0/", "names no server"),
    ("https://[::1", "no URL"), ("https://a.example:x/", "no URL"), ("https://a.example:99999/", "no URL"),
])
def test_a_redirect_that_leads_nowhere_is_refused(target: str, why: str) -> None:
    with pytest.raises(BadAnswer, match=why):
        redirected("http://other.example/x", target, keep_tls=False)


def test_a_redirect_from_https_to_http_is_refused_where_asked() -> None:
    assert redirected("https://a.example/", "http://a.example/", keep_tls=False) == "http://a.example/"
    assert redirected("http://a.example/", "http://b.example/", keep_tls=True) == "http://b.example/"
    with pytest.raises(BadAnswer, match="a http URL"):
        redirected("https://a.example/", "http://a.example/", keep_tls=True)

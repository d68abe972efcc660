"""Which certificates are trusted, and which are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """The system's authorities are always among the trusted."""

    verify: bool = True
    authorities: tuple[str, ...] = ()
    """CA files."""
    pairs: tuple[tuple[str, str], ...] = ()
    """(certificate, key) files for servers that ask who we are."""
    folders: tuple[str, ...] = ()
    """Like docker's certs.d/HOST: each *.crt is an authority, each NAME.cert with its NAME.key a pair."""


def tls_options(trust: Trust) -> dict[str, Any]:
    """urllib3's arguments. Loading the system's authorities takes 20 ms."""
    import ssl

    import urllib3

    context = ssl.create_default_context()
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    authorities, pairs = list(trust.authorities), list(trust.pairs)
    for folder in trust.folders:
        home = Path(folder).expanduser()
        authorities += [str(p) for p in sorted(home.glob("*.crt"))]
        pairs += [(str(p), str(p.with_suffix(".key"))) for p in sorted(home.glob("*.cert"))]
    for authority in authorities:
        context.load_verify_locations(authority)
    for certificate, key in pairs:
        context.load_cert_chain(certificate, key)
    return {"ssl_context": context} if trust.verify else {"ssl_context": context, "assert_hostname": False}

"""URLs as Go's net/url splits them: what it refuses is no URL here either, and what it rewrites is rewritten.

Python's `urlsplit` accepts nearly everything. Whether the word of an ADD is a remote source or a file name, and under
which address BuildKit asks for it, follows from Go's stricter rules.
"""

from __future__ import annotations

import re

import msgspec

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_USERINFO = re.compile(r"[A-Za-z0-9\-._:~!$&'()*+,;=%@]*")
_HOST = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:\[\]<>\"\u0080-\U0010ffff]|%[89a-fA-F][0-9a-fA-F])*")
_BRACKETED = re.compile(r"\[[^\[\]]+\](?::[0-9]*)?")
_PORT = re.compile(r"[^:]*(?::[0-9]*)?")
_VALID_PATH = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@\[\]%/]*")
_KEPT_IN_PATH = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~$&+,/:;=@")


class URL(msgspec.Struct, frozen=True, kw_only=True):
    scheme: str
    """Lower case; "" where there is none."""
    userinfo: str = ""
    """As written."""
    host: str = ""
    """With the port, if any."""
    path: str = ""
    """Escapes resolved."""
    raw_path: str = ""
    """Escaped, as it is sent."""
    query: str = ""
    fragment: str = ""
    """Escapes resolved."""

    @property
    def address(self) -> str:
        """The URL without query and fragment."""
        user = f"{self.userinfo}@" if self.userinfo else ""
        return f"{self.scheme}://{user}{self.host}{self.raw_path}"


def split_url(text: str) -> URL | None:
    """The parts of `text`; None if it is no URL to Go (control characters, broken escapes, ports, host names)."""
    rest, _, raw_fragment = text.partition("#")
    fragment = unescape(raw_fragment)
    if _CONTROL.search(rest) or fragment is None:
        return None
    scheme = ""
    if match := _SCHEME.match(rest):
        scheme, rest = match[1].lower(), rest[match.end():]
    rest, _, query = rest.partition("?")
    authority, raw_path = "", rest
    if rest.startswith("//"):
        authority, slash, tail = rest[2:].partition("/")
        raw_path = slash + tail
    elif not scheme and ":" in rest.partition("/")[0]:
        return None
    userinfo, _, host = authority.rpartition("@")
    path = unescape(raw_path)
    if path is None or not _is_authority(userinfo, host):
        return None
    if not _VALID_PATH.fullmatch(raw_path):
        raw_path = _escape_path(path)
    return URL(scheme=scheme, userinfo=userinfo, host=host, path=path, raw_path=raw_path, query=query,
               fragment=fragment)


def split_query(text: str, *, strict: bool = False) -> dict[str, list[str]] | None:
    """The values of each key. A pair with a `;` or a broken escape is left out, or with `strict` makes it all None."""
    values: dict[str, list[str]] = {}
    for pair in filter(None, text.split("&")):
        raw_key, _, raw_value = pair.replace("+", " ").partition("=")
        key, value = unescape(raw_key), unescape(raw_value)
        if ";" not in pair and key is not None and value is not None:
            values.setdefault(key, []).append(value)
        elif strict:
            return None
    return values


def unescape(text: str) -> str | None:
    """`text` with its %xx resolved (bytes that are no UTF-8 become surrogates); None if one is malformed."""
    if "%" not in text:
        return text
    if _BAD_ESCAPE.search(text):
        return None
    raw = text.encode("utf-8", "surrogateescape")
    return _ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), raw).decode("utf-8", "surrogateescape")


def _is_authority(userinfo: str, host: str) -> bool:
    if not _USERINFO.fullmatch(userinfo) or unescape(userinfo) is None or not _HOST.fullmatch(host):
        return False
    if "[" in host or "]" in host:
        return _BRACKETED.fullmatch(host) is not None
    return _PORT.fullmatch(host[host.rfind(":"):] if ":" in host else host) is not None


def _escape_path(path: str) -> str:
    raw = path.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _KEPT_IN_PATH else f"%{byte:02X}" for byte in raw)

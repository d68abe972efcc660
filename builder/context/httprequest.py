"""One GET over HTTP: redirects, proxies, authorization. The body is the caller's to read."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from builder.errors import ContextError

if TYPE_CHECKING:
    import urllib3

_MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECT_TIMEOUT, _READ_TIMEOUT = 30.0, 120.0


class DownloadFailed(ContextError):
    """No answer, a wrong one, or it broke off."""

    code = "download"

    def __init__(self, url: str, cause: str) -> None:
        super().__init__(f"failed to download `{shown_url(url)}`: {cause}")


class BrokenConnection(Exception):
    """An attempt failed below HTTP; `may_pass` says whether another one makes sense."""

    def __init__(self, reason: str, *, may_pass: bool) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


def open_url(url: str, headers: dict[str, str], authorization: str) -> urllib3.BaseHTTPResponse:
    """The answer after redirects, its body not read yet; the caller closes it.

    `authorization`, or else the user name and password of `url`, goes to the origin of `url` and to no other. A
    redirect without a location is an answer, as in Go. Raises DownloadFailed, BrokenConnection.
    """
    try:
        start = here = urlsplit(url)
        authorization = authorization or _basic(start)
        for _ in range(_MAX_REDIRECTS):
            is_home = (here.scheme, here.hostname, here.port) == (start.scheme, start.hostname, start.port)
            response = _get(here, {**headers, "Authorization": authorization} if authorization and is_home else headers)
            target = response.headers.get("location")
            if response.status not in _REDIRECTS or not target:
                return response
            response.close()
            here = urlsplit(urljoin(urlunsplit(here), target))
            if here.scheme not in {"http", "https"} or not here.hostname:
                raise DownloadFailed(url, f"the server redirects to `{target}`")
    except ValueError as error:  # an address, or a header with a line break
        raise DownloadFailed(url, str(error)) from error
    raise DownloadFailed(url, f"stopped after {_MAX_REDIRECTS} redirects")


def shown_url(url: str) -> str:
    """The URL without its password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username}:xxxxx@{_host(parts)}"))


def broken(error: Exception) -> BrokenConnection:
    """What urllib3 says, without the objects that it puts into its messages."""
    from urllib3.exceptions import IncompleteRead, NewConnectionError, SSLError

    cause = error.args[1] if len(error.args) > 1 else None
    if isinstance(cause, IncompleteRead):
        size = cause.partial + (cause.expected or 0)
        return BrokenConnection(f"unexpected EOF after {cause.partial} of {size} bytes", may_pass=True)
    text = str(error.args[0]) if isinstance(cause, Exception) else str(error)
    reason = text.partition(": ")[2] if text.startswith(("<", "HTTP")) and ": " in text else text
    return BrokenConnection(reason, may_pass=not isinstance(error, NewConnectionError | SSLError))


def _get(parts: SplitResult, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    from urllib3.exceptions import HTTPError, LocationValueError

    address = urlunsplit(parts._replace(netloc=_host(parts), fragment=""))
    try:
        return _pool(parts).request("GET", address, headers=headers, redirect=False, retries=False,
                                    preload_content=False, decode_content=False)
    except LocationValueError:
        raise
    except HTTPError as error:
        raise broken(error) from error


def _pool(parts: SplitResult) -> urllib3.PoolManager:
    """Connections to there, through the proxy that the environment names; loopback needs none."""
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    host = parts.hostname or ""
    timeout = urllib3.Timeout(connect=_CONNECT_TIMEOUT, read=_READ_TIMEOUT)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all", "")
    if not proxy or host in {"localhost", "::1"} or host.startswith("127.") or proxy_bypass(host):
        return urllib3.PoolManager(timeout=timeout)
    return urllib3.ProxyManager(proxy if "://" in proxy else f"http://{proxy}", timeout=timeout)


def _basic(parts: SplitResult) -> str:
    if parts.username is None:
        return ""
    import base64

    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]

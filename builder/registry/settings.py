"""How registries are reached: where, with which trust and patience. Values only; nothing here opens a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from builder.http.loopback import is_loopback

if TYPE_CHECKING:
    from builder.http.retry import Retry

DOCKER_HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"


class Endpoint(msgspec.Struct, frozen=True):
    """One base URL that speaks the distribution API: `scheme://host[prefix]/v2/...`."""

    scheme: str
    host: str
    """`name[:port]`"""
    domain: str
    """What names the registry in references, credentials and messages; for a mirror, the mirror's own host."""
    verify: bool = True
    prefix: str = ""

    @property
    def base(self) -> str:
        return f"{self.scheme}://{self.host}{self.prefix}"


class RegistrySettings(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of the mappings are registry domains as references have them (`docker.io`, `localhost:5000`)."""

    insecure: frozenset[str] = frozenset()
    """Registries whose certificate is not checked and that may speak plain http; `*` stands for all."""
    mirrors: dict[str, tuple[str, ...]] = {}
    """Hosts (`host[:port][/prefix]`, or a URL) to ask first when pulling."""
    mirrors_only: bool = False
    """Never fall back from a mirror to the registry itself."""
    credentials: dict[str, tuple[str, str]] = {}
    """(user, password) pairs that win over the config files; `*` stands for all registries without one."""
    authfile: str = ""
    """Read instead of the usual config files."""
    certificates: dict[str, str] = {}
    """CA files to trust beside the system's; `*` as above, and for the next."""
    client_certificates: dict[str, tuple[str, str]] = {}
    """(certificate, key) files."""
    keep_immutable_tags: bool = False
    """A tag that its registry lets nobody move stays as it is, and pushing to it is no failure."""
    retries: int = 4
    """Further attempts after a failure that may pass."""
    retry_delay: float = 0.5
    """Seconds before the first of them; doubled each time."""
    max_wait: float = 60.0
    """Longest wait, in seconds, that a Retry-After may ask for."""

    @property
    def retry(self) -> Retry:
        from builder.http.retry import Retry  # only where something is asked

        return Retry(retries=self.retries, delay=self.retry_delay, max_wait=self.max_wait)

    def is_insecure(self, domain: str) -> bool:
        return "*" in self.insecure or domain in self.insecure or domain.partition(":")[0] in self.insecure

    def pull_sources(self, domain: str) -> tuple[tuple[Endpoint, ...], ...]:
        """Where to look for content of `domain`, in this order: for each source, its alternative endpoints."""
        mirrors = tuple(self._mirror(mirror) for mirror in self.mirrors.get(domain, ()))
        return mirrors if mirrors and self.mirrors_only else (*mirrors, self.endpoints(domain))

    def endpoints(self, domain: str) -> tuple[Endpoint, ...]:
        """The registry itself: alternatives of which the first that can be reached is used."""
        host = _HUB_HOST if domain == DOCKER_HUB else domain
        if is_loopback(host):
            return Endpoint("http", host, domain), Endpoint("https", host, domain, False)
        if self.is_insecure(domain):
            return Endpoint("https", host, domain, False), Endpoint("http", host, domain)
        return (Endpoint("https", host, domain),)

    def _mirror(self, text: str) -> tuple[Endpoint, ...]:
        scheme, separator, rest = text.rstrip("/").rpartition("://")
        host, slash, path = rest.partition("/")
        prefix = slash + path
        if separator:
            return (Endpoint(scheme, host, host, not self.is_insecure(host), prefix),)
        return tuple(msgspec.structs.replace(e, prefix=prefix) for e in self.endpoints(host))

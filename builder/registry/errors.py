"""What a registry may answer that we cannot go on with.

Callers branch on the class: `NotFound` is "no such name, tag or blob", `Unreachable` is "no answer at all" (so a stored
copy may serve), `Unauthorized` needs credentials. Everything else is final.
"""

from __future__ import annotations

from builder.errors import RegistryError
from builder.http.failures import Temporary
from builder.oci import Digest


class Missed(RegistryError):
    """The registry did not hand out what was asked for; another one may."""


class Unreachable(Missed, Temporary):
    """No connection, or it broke, after all retries."""

    code = "registry-unreachable"

    def __init__(self, registry: str, cause: str, *, hint: str | None = None, transient: bool = False) -> None:
        super().__init__(f"cannot reach registry `{registry}`", cause=cause, hint=hint)
        self.transient = transient


class CertificateRefused(Unreachable):
    code = "registry-certificate"

    def __init__(self, registry: str, cause: str) -> None:
        super().__init__(
            registry, f"its TLS certificate was refused: {cause}",
            hint=f"put its CA into /etc/docker/certs.d/{registry}/ca.crt, or name it with --insecure-registry",
        )


class Unauthorized(Missed):
    """Status 401 or 403, with or without credentials."""

    code = "registry-unauthorized"

    def __init__(self, what: str, registry: str, *, detail: str, with_credentials: bool) -> None:
        who = "the stored credentials were refused" if with_credentials else "no credentials are stored for it"
        super().__init__(
            f"`{what}`: access denied, the repository does not exist or needs authorization",
            cause=detail or None, notes=(f"registry `{registry}`: {who}",), hint=f"log in: builder login {registry}",
        )


class NotFound(Missed):
    """Status 404: no such repository, tag, manifest or blob."""

    code = "registry-not-found"

    def __init__(self, what: str, detail: str = "") -> None:
        super().__init__(f"`{what}`: not found", cause=detail or None)


class RateLimited(Missed, Temporary):
    """Status 429 beyond what we are willing to wait."""

    code = "registry-rate-limited"

    def __init__(self, registry: str, retry_after: float | None, *, with_credentials: bool) -> None:
        wait = f"; it asks to wait {retry_after:.0f} s" if retry_after else ""
        super().__init__(f"registry `{registry}` limits the rate of requests (429 Too Many Requests){wait}",
                         hint=None if with_credentials else f"log in for a higher limit: builder login {registry}")
        self.retry_after = retry_after


class UnexpectedAnswer(Missed):
    code = "registry-answer"

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"unexpected answer from the registry for `{what}`: {why}")


class ServerFailed(Missed, Temporary):
    """Status 5xx after all retries."""

    code = "registry-failed"

    def __init__(self, what: str, status: int, detail: str = "", retry_after: float | None = None) -> None:
        super().__init__(f"the registry failed for `{what}` with status {status}", cause=detail or None)
        self.status = status
        self.retry_after = retry_after


class DigestMismatch(RegistryError):
    """What came has another content than its name says; nothing of it is used."""

    code = "digest-mismatch"

    def __init__(self, what: str, expected: Digest, actual: Digest) -> None:
        super().__init__(f"`{what}` is not what its digest says", notes=(f"expected {expected}", f"received {actual}"))


class SizeMismatch(RegistryError):
    code = "size-mismatch"

    def __init__(self, what: str, expected: int, actual: str) -> None:
        super().__init__(f"`{what}` should have {expected} bytes, the registry sent {actual}")


class DownloadBroken(Missed, Temporary):
    """The connection broke more often than we try again."""

    code = "download-broken"

    def __init__(self, what: str, cause: str) -> None:
        super().__init__(f"the download of `{what}` was interrupted", cause=cause)

"""What can go wrong below and in HTTP, in words without urllib3's objects. Importing this does not import urllib3."""

from __future__ import annotations


class Temporary(Exception):
    """A failure that another attempt may not meet."""

    transient: bool = True
    """False where another attempt meets it again."""
    retry_after: float | None = None
    """Seconds that the server asks to wait."""


class Broken(Temporary):
    """No connection, or an interrupted one."""

    def __init__(self, reason: str, *, transient: bool = True, certificate: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient
        self.certificate = certificate
        """Whether the server's certificate was refused."""


class BadAnswer(Exception):
    """An answer that is not accepted: a redirect that leads nowhere or to the wrong server, too long a body."""


def broken(error: Exception) -> Broken:
    """What an error of urllib3, of the socket or of the URL means.

    Unknown names, refused connections, refused certificates and unusable URLs are not transient.
    """
    import ssl

    from urllib3.exceptions import NewConnectionError, SSLError

    reason = _reason(error)
    refused = isinstance(error, SSLError) and not (error.args and isinstance(error.args[0], ssl.SSLEOFError))
    return Broken(reason, transient=not (refused or isinstance(error, NewConnectionError | ValueError)),
                  certificate=refused and "CERTIFICATE" in reason.upper())


def _reason(error: BaseException) -> str:
    from urllib3.exceptions import IncompleteRead

    cause = error.args[1] if len(error.args) > 1 else None
    if isinstance(cause, IncompleteRead):
        return f"unexpected EOF after {cause.partial} of {cause.partial + (cause.expected or 0)} bytes"
    if isinstance(cause, Exception):  # its representation may be in the text
        return f"{str(error.args[0]).partition(': ')[0].rstrip('.')}: {_reason(cause)}"
    text = str(error)
    return text.partition(": ")[2] or text if text.startswith(("<", "HTTP")) else text

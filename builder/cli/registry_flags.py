"""How registries are reached: Buildah's and kaniko's flags, to the settings of the registry client."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.cli.flagvalues import key_values
from builder.cli.pflag import Flag, Kind, Values
from builder.cli.value_types import DIRECTORY, FILE
from builder.errors import InvalidValue, UsageError

if TYPE_CHECKING:
    from builder.registry.settings import RegistrySettings

REGISTRY_FLAGS = (
    Flag("authfile", "File with registry credentials, instead of the usual ones", type=FILE),
    Flag("cert-dir", "Directory with ca.crt, client.cert and client.key for all registries", metavar="dir",
         type=DIRECTORY),
    Flag("creds", "Credentials for all registries (USER:PASSWORD)"),
    Flag("insecure-registry", "Registry that may speak plain http or have an unknown certificate", Kind.LIST),
    Flag("registry-certificate", "CA file of a registry (HOST=FILE)", Kind.LIST, metavar="stringArray"),
    Flag("registry-client-cert", "Certificate and key for a registry (HOST=CERT,KEY)", Kind.LIST,
         metavar="stringArray"),
    Flag("registry-map", "Mirrors of a registry (HOST=MIRROR[/PREFIX][;...])", Kind.LIST, metavar="stringArray"),
    Flag("registry-mirror", "Mirror of Docker Hub", Kind.LIST),
    Flag("retry", "Attempts after a temporary registry failure", metavar="int"),
    Flag("retry-delay", "Seconds before the first retry; doubled each time", metavar="seconds"),
    Flag("skip-default-registry-fallback", "Never ask a registry that has mirrors itself", Kind.BOOL),
    Flag("tls-verify", "Check the certificates of registries (default true)", Kind.BOOL),
    Flag("insecure", "", Kind.BOOL, hidden=True),
    Flag("insecure-pull", "", Kind.BOOL, hidden=True),
    Flag("skip-tls-verify", "", Kind.BOOL, hidden=True),
    Flag("skip-tls-verify-pull", "", Kind.BOOL, hidden=True),
    Flag("skip-tls-verify-registry", "", Kind.LIST, hidden=True),
    Flag("image-download-retry", "", hidden=True),
    Flag("image-fs-extract-retry", "", hidden=True),
    Flag("push-ignore-immutable-tag-errors", "", Kind.BOOL, hidden=True),
    Flag("push-retry", "", hidden=True),
)
_HUB = "docker.io"
_RETRIES = ("retry", "image-download-retry", "image-fs-extract-retry", "push-retry")


def registry_settings(flags: Values) -> RegistrySettings | None:
    """None when no flag asks for anything. Raises UsageError."""
    if not any(flags.given(flag.name) for flag in REGISTRY_FLAGS):
        return None
    from builder.registry.settings import RegistrySettings

    authfile = flags.text("authfile")
    if authfile and not os.path.exists(authfile):
        raise InvalidValue(f"--authfile: there is no file `{authfile}`")
    given = RegistrySettings()
    return RegistrySettings(
        insecure=_insecure(flags), mirrors=_mirrors(flags), mirrors_only=flags.on("skip-default-registry-fallback"),
        credentials=_credentials(flags.text("creds")), authfile=authfile, certificates=_certificates(flags),
        client_certificates=_client_certificates(flags),
        keep_immutable_tags=flags.on("push-ignore-immutable-tag-errors"),
        retries=_retries(flags, given.retries), retry_delay=_seconds(flags.text("retry-delay"), given.retry_delay))


def _insecure(flags: Values) -> frozenset[str]:
    anything = not flags.on("tls-verify", True) or any(
        flags.on(name) for name in ("insecure", "insecure-pull", "skip-tls-verify", "skip-tls-verify-pull"))
    named = frozenset(flags.all("insecure-registry")) | frozenset(flags.all("skip-tls-verify-registry"))
    return named | {"*"} if anything else named


def _mirrors(flags: Values) -> dict[str, tuple[str, ...]]:
    mirrors = {host: tuple(value.split(";")) for host, value in _by_host(flags, "registry-map", "MIRROR[;...]").items()}
    if flags.given("registry-mirror"):
        mirrors[_HUB] = (*flags.all("registry-mirror"), *mirrors.get(_HUB, ()))
    return mirrors


def _by_host(flags: Values, name: str, notation: str) -> dict[str, str]:
    """What the flag says of each host. Raises InvalidValue."""
    for text in flags.all(name):
        if not all(text.partition("=")):
            raise InvalidValue(f"--{name} `{text}`: write it as HOST={notation}")
    return key_values(flags.all(name))


def _credentials(text: str) -> dict[str, tuple[str, str]]:
    if not text:
        return {}
    user, colon, password = text.partition(":")
    if not colon or not user:
        raise InvalidValue("--creds: write it as USER:PASSWORD")
    return {"*": (user, password)}


def _certificates(flags: Values) -> dict[str, str]:
    found = _by_host(flags, "registry-certificate", "FILE")
    path = os.path.join(flags.text("cert-dir"), "ca.crt")
    if flags.given("cert-dir") and os.path.exists(path):
        found.setdefault("*", path)
    return found


def _client_certificates(flags: Values) -> dict[str, tuple[str, str]]:
    found = {}
    for host, value in _by_host(flags, "registry-client-cert", "CERT,KEY").items():
        certificate, comma, key = value.partition(",")
        if not comma:
            raise InvalidValue(f"--registry-client-cert `{host}={value}`: write it as HOST=CERT,KEY")
        found[host] = (certificate, key)
    if flags.given("cert-dir"):
        folder = flags.text("cert-dir")
        if not os.path.isdir(folder):
            raise InvalidValue(f"--cert-dir: there is no directory `{folder}`")
        pair = (os.path.join(folder, "client.cert"), os.path.join(folder, "client.key"))
        if all(map(os.path.exists, pair)):
            found.setdefault("*", pair)
    return found


def _retries(flags: Values, default: int) -> int:
    given = [flags.text(name) for name in _RETRIES if flags.given(name)]
    try:
        return max(map(int, given), default=default)
    except ValueError:
        raise UsageError(f"--retry takes a number, not `{' '.join(given)}`") from None


def _seconds(text: str, default: float) -> float:
    """Seconds, or Go's notation with one unit."""
    if not text:
        return default
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    unit = next((unit for unit in units if text.endswith(unit)), "")
    try:
        return float(text.removesuffix(unit)) * units.get(unit, 1.0)
    except ValueError:
        raise UsageError(f"--retry-delay `{text}` is no time", hint="write it as 2s") from None

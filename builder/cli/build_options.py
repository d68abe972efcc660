"""From the flags of `builder build` to the library's BuildOptions, with buildx' rules and complaints."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from builder.api import BuildOptions, SecretSource, SshSource
from builder.attributes import fields_of
from builder.builds.networking import HostEntry, NetworkMode
from builder.cli.build_flags import RESOURCES
from builder.cli.buildah_flags import buildah_options, output_fields, platform_of, proxy_args, timestamp
from builder.cli.flagvalues import (
    image_name,
    key_values,
    lines_of,
)
from builder.cli.kaniko_flags import cache_repo, kaniko_context, kaniko_dockerfile, kaniko_outputs
from builder.cli.pflag import FlagError, Values
from builder.cli.refused_flags import BARE, ONLY, REASONS
from builder.errors import InvalidValue, UsageError
from builder.images.outputs import Output, OutputType
from builder.plan.ulimit import Ulimit
from builder.version import __version__

if TYPE_CHECKING:
    from builder.remotecache.locations import CacheExport, CacheImport

_PULL = {"true": "always", "1": "always", "false": "missing", "0": "missing"}
_IDENTITY = "io.builder.version"
"""As Buildah's `io.buildah.version`."""
_ENTITLEMENTS = ("network.host", "security.insecure", "device")


class NotSupported(UsageError):
    code = "not-supported"

    def __init__(self, flag: str, reason: str) -> None:
        super().__init__(f"`--{flag}` is not supported: {reason}")


def build_options(flags: Values, context: str) -> BuildOptions:
    """Raises UsageError for the first flag that makes no sense or is not supported."""
    _refuse(flags)
    context = kaniko_context(flags, context)
    options = BuildOptions(
        context=context, context_subdir=flags.text("context-sub-path"),
        dockerfile=flags.text("file") or kaniko_dockerfile(flags, context), tags=_tags(flags),
        target=flags.text("target"), build_args=_build_args(flags), labels=_labels(flags, context),
        annotations=tuple(map(_annotation, flags.all("annotation"))), named_contexts=_contexts(flags),
        platforms=_platforms(flags),
        outputs=_outputs(flags), cache_from=_cache_from(flags), cache_to=_cache_to(flags),
        no_cache=flags.on("no-cache") or not flags.on("cache", True), no_cache_filter=flags.all("no-cache-filter"),
        pull=_pull(flags.text("pull", BuildOptions().pull)),
        secrets=tuple(map(SecretSource.parse, flags.all("secret"))), ssh=tuple(map(SshSource.parse, flags.all("ssh"))),
        network=_network(flags), allow=tuple(map(_entitlement, flags.all("allow"))),
        add_hosts=tuple(map(HostEntry.parse, flags.all("add-host"))),
        ulimits=tuple(map(_ulimit, flags.all("ulimit"))), shm_size=flags.value("shm-size", 0),
        cgroup_parent=flags.text("cgroup-parent"),
        resources={name: str(flags.values(name)[-1]) for name in RESOURCES if flags.given(name)},
        jobs=flags.value("jobs", 0))
    return msgspec.structs.replace(options, **buildah_options(flags))


def _labels(flags: Values, context: str) -> dict[str, str]:
    labels = {_IDENTITY: __version__} if flags.on("identity-label") else {}
    labels |= key_values(flags.all("label"))
    if os.environ.get("BUILDX_GIT_LABELS"):
        from builder.cli.gitlabels import git_labels

        labels |= git_labels(context, flags.text("file"), os.environ)
    return labels


def _platforms(flags: Values) -> tuple[str, ...]:
    chosen = platform_of(flags) or os.environ.get("DOCKER_DEFAULT_PLATFORM", "")
    return (*flags.all("platform"), *flags.all("custom-platform")) or tuple(word for word in chosen.split(",") if word)


def _refuse(flags: Values) -> None:
    for name, reason in REASONS.items():
        if flags.on(name) if name in BARE else flags.given(name):
            raise NotSupported(name, reason)
    for name in ("provenance", "sbom"):
        if flags.given(name) and flags.text(name).lower() not in ("false", "0", "disabled=true"):
            raise NotSupported(name, "attestations are not supported yet")
    for value in flags.all("attest"):
        unknown = [field for field in fields_of(value) if field != "disabled=true" and not field.startswith("type=")]
        if unknown or "disabled=true" not in fields_of(value):
            raise NotSupported("attest", f"attestations are not supported yet, and so not "
                                         f"`{(*unknown, value)[0]}`")
    for name, (values, reason) in ONLY.items():
        if flags.given(name) and flags.text(name) not in values:
            raise NotSupported(f"{name}={flags.text(name)}", reason)
    name = flags.text("builder") or os.environ.get("BUILDX_BUILDER", "")
    if name not in ("", "default"):
        raise InvalidValue(f'no builder "{name}" found', hint='the only builder is "default"')
    if os.environ.get("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"):
        raise UsageError("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY: source policies are not supported yet",
                         hint="without it the build would use sources that the policy may forbid")
    if flags.on("no-cache") and flags.given("no-cache-filter"):
        raise UsageError("--no-cache and --no-cache-filter cannot currently be used together")


def _build_args(flags: Values) -> dict[str, str]:
    args = {name: value for name, value in _configured_proxies(os.environ).items() if value} | proxy_args(flags)
    for path in flags.all("build-arg-file"):
        args |= key_values(lines_of(path, "build-arg-file"), from_environment=True)
    args |= key_values(flags.all("build-arg"), from_environment=True)
    asked = flags.text("source-date-epoch") or timestamp(flags)
    epoch = asked or os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch and (asked or "SOURCE_DATE_EPOCH" not in args):
        args["SOURCE_DATE_EPOCH"] = epoch
    return args


def _configured_proxies(environment: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables that docker's config.json gives every build (`proxies.default`)."""
    folder = environment.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    try:
        with open(os.path.join(folder, "config.json"), "rb") as file:
            data = file.read()
    except OSError:
        return {}
    try:
        proxies = msgspec.json.decode(data, type=dict[str, object]).get("proxies")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"`{folder}/config.json` is not valid JSON", cause=str(error)) from error
    default = proxies.get("default") if isinstance(proxies, dict) else None
    found: dict[str, str] = {}
    for key, value in (default if isinstance(default, dict) else {}).items():
        if key in ("httpProxy", "httpsProxy", "ftpProxy", "noProxy", "allProxy") and isinstance(value, str):
            name = f"{key.removesuffix('Proxy')}_proxy"
            found |= {name.upper(): value, name: value}
    return found


def _contexts(flags: Values) -> dict[str, str]:
    if not flags.given("build-context"):
        return {}
    from builder.reference import InvalidReference, Reference

    contexts = {}
    for item in flags.all("build-context"):
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InvalidValue(f"invalid context value: {item}, expected key=value")
        try:
            Reference.parse(name)
        except InvalidReference as error:
            raise InvalidValue(f"invalid context name {name}: {error.message}") from None
        contexts[name] = value
    return contexts


def _outputs(flags: Values) -> tuple[Output, ...]:
    defaults = output_fields(flags)
    outputs = [Output.parse(item, defaults) for item in (*flags.all("output"), *kaniko_outputs(flags)) if item]
    types = {output.type for output in outputs}
    if flags.given("iidfile") and not types.isdisjoint((OutputType.LOCAL, OutputType.TAR)):
        raise UsageError("local and tar exporters are incompatible with image ID file")
    if flags.on("push") or (flags.given("destination") and not flags.on("no-push")):
        if not _tags(flags) and not any(output.names for output in outputs):
            raise UsageError("tag is needed when pushing to registry")
        outputs = [msgspec.structs.replace(output, push=True) if output.type is OutputType.IMAGE else output
                   for output in outputs]
        if OutputType.IMAGE not in types:
            outputs.append(Output.parse("type=image,push=true", defaults))
    if flags.on("load") and outputs and OutputType.DOCKER not in types:
        outputs.append(Output.parse("type=docker", defaults))
    if defaults and not outputs:
        outputs.append(Output.parse("type=image", defaults))
    return tuple(outputs)


def _cache_from(flags: Values) -> tuple[CacheImport, ...]:
    texts = (*flags.all("cache-from"), *cache_repo(flags))
    if not texts:
        return ()
    from builder.remotecache.locations import parse_import

    return tuple(place for text in texts for place in parse_import(text, os.environ))


def _cache_to(flags: Values) -> tuple[CacheExport, ...]:
    written = () if flags.on("no-push-cache") else cache_repo(flags)
    texts = (*flags.all("cache-to"), *(f"{place},mode=max" for place in written))
    if not texts:
        return ()
    from builder.remotecache.locations import parse_export

    return tuple(place for text in texts for place in parse_export(text, os.environ))


def _tags(flags: Values) -> tuple[str, ...]:
    return tuple(map(image_name, (*flags.all("tag"), *flags.all("destination"))))


def _annotation(text: str) -> str:
    if "=" not in text:
        raise InvalidValue(f'invalid annotation "{text}", expected key=value')
    return text


def _ulimit(text: str) -> Ulimit:
    try:
        return Ulimit.parse(text)
    except InvalidValue as error:
        raise FlagError(f'invalid argument "{text}" for "--ulimit" flag: {error.message}') from None


def _network(flags: Values) -> NetworkMode | str:
    return NetworkMode.parse(flags.text("network")) if flags.given("network") else BuildOptions().network


def _entitlement(text: str) -> str:
    if text.partition("=")[0] not in _ENTITLEMENTS:
        raise InvalidValue(f"unknown entitlement {text}", hint=f"choose one of {', '.join(_ENTITLEMENTS)}")
    return text


def _pull(text: str) -> str:
    policy = _PULL.get(text.lower(), text)
    if policy not in ("missing", "always", "newer", "never"):
        raise FlagError(f'invalid argument "{text}" for "--pull" flag: use missing, always, newer or never')
    return policy

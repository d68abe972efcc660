"""A target and a group: the values that a definition comes to, how they merge and how they are printed."""

from __future__ import annotations

from typing import Any

import msgspec

from builder.bake.entries import Entry, Secret, Ssh, last_by, unique

DEFAULT_DOCKERFILE = "Dockerfile"


class Group(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    targets: tuple[str, ...] = ()
    is_given: bool = True
    """False for the services of compose files of which none is built: shown as null."""
    description: str = ""

    def printed(self) -> dict[str, Any]:
        described = {"description": self.description} if self.description else {}
        return {**described, "targets": list(self.targets) if self.targets or self.is_given else None}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """None means that a field was not given, so that another definition's counts."""

    name: str
    description: str = ""
    inherits: tuple[str, ...] = ()
    annotations: tuple[str, ...] | None = None
    attest: tuple[Entry, ...] | None = None
    context: str | None = None
    contexts: dict[str, str] = {}
    dockerfile: str | None = None
    dockerfile_inline: str | None = None
    args: dict[str, str] = {}
    labels: dict[str, str] = {}
    tags: tuple[str, ...] | None = None
    cache_from: tuple[Entry, ...] | None = None
    cache_to: tuple[Entry, ...] | None = None
    target: str | None = None
    secrets: tuple[Secret, ...] | None = None
    ssh: tuple[Ssh, ...] | None = None
    platforms: tuple[str, ...] | None = None
    outputs: tuple[Entry, ...] | None = None
    pull: bool | None = None
    no_cache: bool | None = None
    network: str | None = None
    no_cache_filter: tuple[str, ...] | None = None
    shm_size: str | None = None
    ulimits: tuple[str, ...] | None = None
    call: str | None = None
    entitlements: tuple[str, ...] | None = None
    extra_hosts: dict[str, str] = {}
    linked: bool = False
    """Built only because another target names it in `contexts`."""

    def merge(self, other: Target) -> Target:
        """What `other` gives counts; maps and most lists are joined."""
        replaced: dict[str, Any] = {}
        for name in _REPLACED:
            if (value := getattr(other, name)) is not None:
                replaced[name] = value
        for name in _REPLACED_LISTS:
            if (items := getattr(other, name)) is not None:
                replaced[name] = items
        for name in _JOINED_MAPS:
            replaced[name] = {**getattr(self, name), **getattr(other, name)}
        for name in _JOINED_LISTS:
            if (items := getattr(other, name)) is not None:
                replaced[name] = (*(getattr(self, name) or ()), *items)
        replaced["description"] = other.description or self.description
        replaced["inherits"] = (*self.inherits, *other.inherits)
        return msgspec.structs.replace(self, **replaced).joined()

    def joined(self) -> Target:
        """The entry lists that merging keeps free of repetition."""
        return msgspec.structs.replace(
            self, attest=self.attest and last_by(lambda entry: entry.type, self.attest),
            secrets=self.secrets and last_by(lambda secret: secret.id, self.secrets),
            ssh=self.ssh and last_by(lambda ssh: ssh.id, self.ssh),
            cache_from=self.cache_from and unique(self.cache_from))

    def normalized(self) -> Target:
        """Every list without repetition and empty words; a network of the host asks for its entitlement."""
        entitlements = self.entitlements or ()
        if self.network == "host":
            entitlements = (*entitlements, "network.host")
        words = {name: _words(getattr(self, name)) for name in _WORD_LISTS}
        return msgspec.structs.replace(
            self.joined(), **words, entitlements=_words(entitlements) or None,
            cache_to=self.cache_to and unique(self.cache_to), outputs=self.outputs and unique(self.outputs),
            contexts={name: value for name, value in self.contexts.items() if value})

    def resolved(self) -> Target:
        """With the defaults of what is always there."""
        return msgspec.structs.replace(self, inherits=(), context="." if self.context is None else self.context,
                                       dockerfile=self.dockerfile or DEFAULT_DOCKERFILE)

    def printed(self) -> dict[str, Any]:
        """For `--print`: what is empty is left out; `${` is written so that HCL would read it back as it is."""
        fields: dict[str, Any] = {
            "description": self.description, "inherits": list(self.inherits),
            "annotations": list(map(_escaped, self.annotations or ())), "attest": _printed(self.attest),
            "context": self.context, "contexts": dict(sorted(self.contexts.items())), "dockerfile": self.dockerfile,
            "dockerfile-inline": None if self.dockerfile_inline is None else _escaped(self.dockerfile_inline),
            "args": {key: _escaped(value) for key, value in sorted(self.args.items())},
            "labels": {key: _escaped(value) for key, value in sorted(self.labels.items())},
            "tags": list(self.tags or ()),
            "cache-from": _printed(self.cache_from), "cache-to": _printed(self.cache_to), "target": self.target,
            "secret": _printed(self.secrets), "ssh": _printed(self.ssh), "platforms": list(self.platforms or ()),
            "output": _printed(self.outputs), "pull": self.pull, "no-cache": self.no_cache, "network": self.network,
            "no-cache-filter": list(self.no_cache_filter or ()), "shm-size": self.shm_size,
            "ulimits": list(self.ulimits or ()), "call": self.call, "entitlements": list(self.entitlements or ()),
            "extra-hosts": {key: _escaped(value) for key, value in sorted(self.extra_hosts.items())},
        }
        return {name: value for name, value in fields.items()
                if value is not None and value != [] and value != {} and (value != "" or name != "description")}


_REPLACED = ("context", "dockerfile", "dockerfile_inline", "target", "call", "pull", "no_cache", "network", "shm_size")
_REPLACED_LISTS = ("tags", "platforms", "cache_to", "outputs")
_JOINED_MAPS = ("args", "contexts", "labels", "extra_hosts")
_JOINED_LISTS = ("annotations", "attest", "secrets", "ssh", "cache_from", "no_cache_filter", "ulimits", "entitlements")
_WORD_LISTS = ("annotations", "tags", "platforms", "no_cache_filter", "ulimits")


def _words(items: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if items is None else tuple(dict.fromkeys(item for item in items if item))


def _escaped(text: str) -> str:
    return text.replace("${", "$${").replace("%{", "%%{")


def _printed(items: tuple[Any, ...] | None) -> list[dict[str, Any]]:
    return [item.printed() for item in items or ()]

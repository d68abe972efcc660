"""Checks of package managers: versions, questions that nobody answers, caches that stay in the layer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec

from builder.lint import practices
from builder.lint.rules import Rule
from builder.lint.shellcommands import ShellCommand

Problem = tuple[Rule, tuple[str, ...]]
"""A rule and the facts of its message."""

_APT_VALUES = frozenset({"-a", "-c", "-o", "-t", "--config-file", "--default-release", "--host-architecture",
                         "--option", "--target-release"})
_APK_VALUES = frozenset({"-p", "-t", "-X", "--arch", "--keys-dir", "--repositories-file", "--repository", "--root",
                         "--virtual", "--wait"})
_PIP_VALUES = frozenset({"-c", "-e", "-f", "-i", "-r", "-t", "--abi", "--cache-dir", "--cert", "--constraint",
                         "--editable", "--extra-index-url", "--find-links", "--implementation", "--index-url", "--log",
                         "--no-binary", "--only-binary", "--platform", "--prefix", "--progress-bar", "--proxy",
                         "--python-version", "--requirement", "--retries", "--root", "--src", "--target", "--timeout",
                         "--trusted-host", "--upgrade-strategy", "--use-feature"})
_NPM_VALUES = frozenset({"--cache", "--omit", "--only", "--prefix", "--registry", "--userconfig", "-C"})
_GEM_VALUES = frozenset({"-i", "-n", "-P", "-s", "--bindir", "--install-dir", "--platform", "--source"})
_NO_VALUES: frozenset[str] = frozenset()

_PINNED_PIP = re.compile(r"[=<>~!]=|[<>@]|^\.|/|\.(?:whl|zip|tar\.gz)$")
_PINNED_NPM = re.compile(r"^.+@.|^[./~]|[:/].*[/#]|\.tgz$")
_YUMS = frozenset({"dnf", "microdnf", "tdnf", "yum", "zypper"})


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the checks of one RUN need to know beside its commands."""

    commands: tuple[ShellCommand, ...]
    cached: tuple[str, ...]
    """Targets of its cache mounts."""
    is_kept: bool
    """Its layer is part of the image (and not only of a stage that something is copied from)."""
    pip_cache_off: bool
    """PIP_NO_CACHE_DIR is set."""

    def is_cached(self, *directories: str) -> bool:
        return any(directory.startswith(f"{target.rstrip('/')}/") or target.startswith(directory)
                   for target in self.cached for directory in directories)

    def removes(self, *paths: str) -> bool:
        return any(path in word for command in self.commands if command.name in {"rm", "find"}
                   for word in command.arguments for path in paths)


def package_problems(context: RunContext) -> Iterator[Problem]:
    """What is to be said about the package managers that a RUN calls."""
    for command in context.commands:
        check = _CHECKS.get(command.name)
        if check is not None:
            yield from check(command, context)
        elif command.name.startswith("python") and command.words[1:3] == ("-m", "pip"):
            yield from _pip(ShellCommand(command.words[2:]), context)
    yield from _apt_lists(context)
    if context.is_kept and (name := _yum_with_cache(context)):
        yield practices.YUM_CACHE_LEFT, (name,)


def _packages(command: ShellCommand, verbs: frozenset[str], with_value: frozenset[str]) -> list[str] | None:
    """What an installing command is to install; None if it does something else. Variables are left out."""
    words: list[str] = []
    skip = False
    for word in command.arguments:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in with_value
        else:
            words.append(word)
    if not words or words[0] not in verbs:
        return None
    return [word for word in words[1:] if "$" not in word and "`" not in word]


_INSTALL = frozenset({"install"})


def _unpinned(rule: Rule, packages: list[str], is_pinned: Callable[[str], object]) -> Iterator[Problem]:
    loose = [f"`{package}`" for package in packages if not is_pinned(package)]
    if loose:
        yield rule, (", ".join(loose[:5]) + (f" and {len(loose) - 5} more" if len(loose) > 5 else ""),)


def _apt_get(command: ShellCommand, context: RunContext) -> Iterator[Problem]:
    packages = _packages(command, _INSTALL, _APT_VALUES)
    if packages is None or command.has("-s", "--simulate", "--dry-run", "--print-uris"):
        return
    if not command.has("-y", "--yes", "--assume-yes", "-qq", "--no-download"):
        yield practices.APT_WITHOUT_YES, ()
    if not command.has("--no-install-recommends") and "APT::Install-Recommends=false" not in command.arguments:
        yield practices.APT_RECOMMENDS, ()
    yield from _unpinned(practices.UNPINNED_APT_PACKAGE, packages, re.compile(r"=|/|\.deb$|[-+]$").search)


def _apt(command: ShellCommand, context: RunContext) -> Iterator[Problem]:
    if command.operands:
        yield practices.APT_FOR_PEOPLE, ()


def _apt_lists(context: RunContext) -> Iterator[Problem]:
    verbs = [command.operands[0] for command in context.commands
             if command.name in {"apt-get", "apt"} and command.operands]
    is_clean = {"dist-clean", "distclean"} & set(verbs) or context.removes("/var/lib/apt/lists")
    if "update" not in verbs or is_clean or context.is_cached("/var/lib/apt"):
        return
    if set(verbs) == {"update"}:
        yield practices.APT_UPDATE_ALONE, ()
    elif context.is_kept:
        yield practices.APT_LISTS_LEFT, ()


def _apk(command: ShellCommand, context: RunContext) -> Iterator[Problem]:
    packages = _packages(command, frozenset({"add"}), _APK_VALUES)
    if packages is None:
        return
    if context.is_kept and not command.has("--no-cache", "--no-network") \
            and not context.is_cached("/var/cache/apk", "/etc/apk/cache") and not context.removes("/var/cache/apk"):
        yield practices.APK_CACHE_LEFT, ()
    yield from _unpinned(practices.UNPINNED_APK_PACKAGE, packages, re.compile(r"[=<>~@]|\.apk$").search)


def _pip(command: ShellCommand, context: RunContext) -> Iterator[Problem]:
    packages = _packages(command, _INSTALL, _PIP_VALUES)
    if packages is None:
        return
    is_off = command.has("--no-cache-dir") or context.pip_cache_off or context.removes(".cache")
    if context.is_kept and not is_off and not any("cache" in target or "pip" in target for target in context.cached):
        yield practices.PIP_CACHE_LEFT, ()
    yield from _unpinned(practices.UNPINNED_PIP_PACKAGE, packages, _PINNED_PIP.search)


def _npm(command: ShellCommand, context: RunContext) -> Iterator[Problem]:
    packages = _packages(command, frozenset({"install", "i", "add"}), _NPM_VALUES)
    yield from _unpinned(practices.UNPINNED_NPM_PACKAGE, packages or [], _PINNED_NPM.search)


def _gem(command: ShellCommand, context: RunContext) -> Iterator[Problem]:
    packages = _packages(command, _INSTALL, _GEM_VALUES)
    if packages and not command.has("-v", "--version"):
        yield from _unpinned(practices.UNPINNED_GEM, packages, re.compile(r":|\.gem$").search)


def _yum(command: ShellCommand, context: RunContext) -> Iterator[Problem]:
    if _packages(command, frozenset({"install", "in"}), _NO_VALUES) is not None \
            and not command.has("-y", "--assumeyes", "-n", "--non-interactive", "--yes", "--no-confirm"):
        yield practices.YUM_WITHOUT_YES, (command.name,)


def _yum_with_cache(context: RunContext) -> str:
    """The one of yum and its like that installs here and leaves its cache."""
    installing = [command.name for command in context.commands
                  if command.name in _YUMS and {"install", "in"} & set(command.operands[:1])]
    cleaned = any(command.name in _YUMS and {"clean", "cc"} & set(command.operands[:1])
                  for command in context.commands)
    caches = ("/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5", "/var/cache/zypp", "/var/cache/tdnf")
    if not installing or cleaned or context.is_cached(*caches) or context.removes("/var/cache"):
        return ""
    return installing[0]


_CHECKS: dict[str, Callable[[ShellCommand, RunContext], Iterator[Problem]]] = {
    "apt-get": _apt_get, "apt": _apt, "apk": _apk, "pip": _pip, "pip2": _pip, "pip3": _pip, "npm": _npm, "gem": _gem,
    **dict.fromkeys(_YUMS, _yum),
}

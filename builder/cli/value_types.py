"""The types of flags and arguments: how a text is parsed, and what a shell suggests for it.

What has to be looked up, in the state folder or a Dockerfile, is in `suggestions`, which only completion imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from builder.cli.pflag import Type, Values

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def choice(*known: str) -> Type:
    """One of the words; the command itself complains about others."""
    return Type("choice", known=known, suggest=lambda values, incomplete: _items(known, incomplete))


def fields(**known: Type | tuple[str, ...]) -> Type:
    """`key=value,...`; words for a key mean a choice."""
    types = {key: value if isinstance(value, Type) else choice(*value) for key, value in known.items()}

    def suggest(values: Values, incomplete: str) -> Iterable[CompletionItem[str]]:
        from builder.cli.suggestions import paired

        return paired(types, values, incomplete)

    return Type("fields", suggest=suggest)


def _looked_up(name: str) -> Type:
    """What the function of that name in `suggestions` finds."""
    def suggest(values: Values, incomplete: str) -> Iterable[CompletionItem[str]]:
        from builder.cli import suggestions

        find: Callable[[Values, str], Iterable[CompletionItem[str]]] = getattr(suggestions, name)
        return find(values, incomplete)

    return Type(name, suggest=suggest)


def _path(kind: str) -> Type:
    def suggest(values: Values, incomplete: str) -> Iterable[CompletionItem[str]]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type=kind)]

    return Type(kind, suggest=suggest)


def _items(known: Iterable[str], incomplete: str) -> list[CompletionItem[str]]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in known if word.startswith(incomplete)]


def _number(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise ValueError("not a number")
    return int(text)


def _count(text: str) -> int:
    if (number := _number(text)) < 0:
        raise ValueError("less than 0")
    return number


def _size(text: str) -> int:
    from builder.golang.size import parse_size

    return parse_size(text)


def _duration(text: str) -> float:
    from builder.golang.duration import parse_duration

    if (seconds := parse_duration(text) / 1e9) < 0:
        raise ValueError("less than 0")
    return seconds


NUMBER, COUNT = Type("number", _number), Type("count", _count)
SIZE = Type("size", _size)
"""Bytes, in docker's notation."""
LIMIT = Type("limit", lambda text: -1 if text == "-1" else _size(text))
"""A size, or -1 for none."""
DURATION = Type("duration", _duration)
"""Seconds, from Go's notation."""
FILE, DIRECTORY = _path("file"), _path("dir")
SWITCH = choice("true", "false")
STAGE, BUILD_ARG, NAMED_CONTEXT = _looked_up("stages"), _looked_up("build_args"), _looked_up("named_contexts")
IMAGE, BUILD, STEP = _looked_up("images"), _looked_up("builds"), _looked_up("steps")
PLATFORM, CAPABILITY, BAKE_TARGET = _looked_up("platforms"), _looked_up("capabilities"), _looked_up("bake_targets")
REGISTRY = _looked_up("registries")
PROGRESS = choice("auto", "none", "plain", "quiet", "rawjson", "tty")
PRINTED = choice("ast", "plan", "keys")
LINT_RULE = _looked_up("lint_rules")
PULL = choice("missing", "always", "newer", "never")
OUTPUT = fields(type=("docker", "oci", "image", "registry", "local", "tar", "cacheonly"), dest=FILE, name=IMAGE,
                push=SWITCH, compression=("gzip", "zstd", "uncompressed"), tar=SWITCH)
CACHE = fields(type=("registry", "local", "inline"), ref=IMAGE, src=DIRECTORY, dest=DIRECTORY, mode=("min", "max"))
SECRET = fields(id=Type("id"), src=FILE, env=Type("variable"), type=("file", "env"))
ULIMIT = choice(*(f"{name}=" for name in ("core", "cpu", "data", "fsize", "memlock", "nofile", "nproc", "stack")))

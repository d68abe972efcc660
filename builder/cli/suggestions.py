"""What a shell suggests for values that have to be looked up: in the state folder, in a Dockerfile, in a definition.

Nothing is created or changed: without a state folder there are no images. Whatever cannot be read raises as it would in
the command; `shells` then suggests nothing.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from click.shell_completion import CompletionItem

from builder.api import Builder, default_root
from builder.cli.pflag import Type, Values
from builder.errors import UsageError
from builder.language.instructions import Dockerfile
from builder.source import Source

Items: TypeAlias = "Iterator[CompletionItem[str]]"
_BUILDS = 50
_MAX_DOCKERFILE = 1 << 18
"""Bytes of a Dockerfile that is parsed while somebody waits for a word of it."""
_KANIKO = ("context", "context-sub-path", "dockerfile")
"""Flags that no shell is offered; Dockerfiles are found by rules of their own with them."""


def _matching(words: Iterable[tuple[str, str | None]], incomplete: str) -> Items:
    for word, text in words:
        if word.startswith(incomplete):
            yield CompletionItem(word, help=text)


# -- the state folder --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _opened(values: Values) -> Iterator[Builder | None]:
    """The state folder that the command line means; None if there is none."""
    root = values.text("root") or default_root()
    if not os.path.exists(os.path.join(root, "format")):
        yield None
        return
    with Builder(root) as builder:
        yield builder


def images(values: Values, incomplete: str) -> Items:
    with _opened(values) as builder:
        names = {image.name for image in builder.images()} if builder else set()
    yield from _matching(((name, None) for name in sorted(names) if name), incomplete)


def builds(values: Values, incomplete: str) -> Items:
    with _opened(values) as builder:
        found = builder.builds(_BUILDS) if builder else []
    yield from _matching([(build.id, f"{build.name or build.context} ({build.state.value})") for build in found],
                         incomplete)


def steps(values: Values, incomplete: str) -> Items:
    """Steps of the last build, or of the one that --build or the text names; images too."""
    first = not values.arguments
    build, colon, _ = incomplete.partition(":")
    build = build if colon and not build.startswith("@") else ""
    with _opened(values) as builder:
        if builder is None or not builder.store.build_ids():
            return
        chosen = build or (values.text("build") if values.knows("build") else "")
        instructions = builder.find_build(chosen).instructions
    places = [(f"{build}:{step.ordinal}" if build else f"@{step.ordinal}", f"{step.name} ({step.outcome.value})")
              for step in sorted(instructions, key=lambda step: step.ordinal)]
    if not build:
        places.append(("@last-failed", "the step that failed last"))
    yield from _matching(places, incomplete)
    if first and not incomplete.startswith("@") and not colon:
        yield from images(values, incomplete)


def registries(values: Values, incomplete: str) -> Items:
    """Those that docker's config.json has credentials for."""
    import msgspec

    folder = os.environ.get("DOCKER_CONFIG") or os.path.join(os.path.expanduser("~"), ".docker")
    with open(os.path.join(folder, "config.json"), "rb") as file:
        auths = msgspec.json.decode(file.read(), type=dict[str, object]).get("auths")
    known = sorted(auths) if isinstance(auths, dict) else []
    yield from _matching(((name, None) for name in known), incomplete)


# -- the Dockerfile ----------------------------------------------------------------------------------------------------


def _dockerfile(values: Values) -> Dockerfile:
    """The one that a build with these flags would read. Raises OSError, BuilderError."""
    from builder.builds.inputs import default_dockerfile
    from builder.language.parser import parse
    from builder.rooted.named import locate

    context = values.arguments[0] if values.arguments else "."
    path = values.text("file") or default_dockerfile(context)
    if "-" in (context, path) or not os.path.isdir(context) or any(map(values.given, _KANIKO)):
        raise UsageError("what a build would read is found in another way")
    folder, name = locate(path)
    status = folder.lstat(name)
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_DOCKERFILE:
        raise UsageError(f"`{path}` is not looked into")
    with open(folder.open(name), "rb") as file:
        return parse(Source(path, file.read(_MAX_DOCKERFILE).decode("utf-8", "replace")))


def stages(values: Values, incomplete: str) -> Items:
    found = _dockerfile(values).stages
    yield from _matching([(stage.base.name, stage.description or f"FROM {stage.base.image}")
                          for stage in found if stage.base.name], incomplete)


def build_args(values: Values, incomplete: str) -> Items:
    from builder.language.instructions import Arg

    dockerfile = _dockerfile(values)
    statements = [*dockerfile.global_args, *(each for stage in dockerfile.stages for each in stage.body)]
    names = dict.fromkeys(pair.key for each in statements if isinstance(each.instruction, Arg)
                          for pair in each.instruction.pairs)
    yield from _matching(((f"{name}=", None) for name in names), incomplete)


def named_contexts(values: Values, incomplete: str) -> Items:
    """What a FROM or --from names, as `NAME=`; behind it a directory."""
    name, equals, path = incomplete.partition("=")
    if equals:
        yield from paths(f"{name}=", path, directories=True)
        return
    from builder.language.instructions import Copy

    found: dict[str, str] = {}
    for stage in _dockerfile(values).stages:
        found |= {stage.base.name: "a stage"} if stage.base.name else {}
        found.setdefault(stage.base.image, "the base of a stage")
        for each in stage.body:
            if isinstance(each.instruction, Copy) and not each.instruction.from_.isdecimal():
                found.setdefault(each.instruction.from_, "copied from")
    shown = [(f"{name}=", text) for name, text in found.items() if name not in ("", "scratch") and "$" not in name]
    yield from _matching(shown, incomplete)


def bake_targets(values: Values, incomplete: str) -> Items:
    from builder.bake.bakefiles import parse_files, read_files

    config = parse_files(read_files(values.all("file")), {}, os.environ, command_context="")
    targets = [*((each.name, each.description or None) for each in config.groups),
               *((each.name, each.description or None) for each in config.targets)]
    yield from _matching([each for each in targets if not each[0].startswith("_")], incomplete)


def lint_rules(values: Values, incomplete: str) -> Items:
    from builder.lint.practices import PRACTICES
    from builder.lint.rules import RULES

    yield from _matching(((name, None) for name in (*RULES, *PRACTICES)), incomplete)


# -- notations ---------------------------------------------------------------------------------------------------------


def platforms(values: Values, incomplete: str) -> Items:
    known = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/386", "linux/ppc64le", "linux/s390x",
             "linux/riscv64", "local")
    yield from _matching(((name, None) for name in known), incomplete)


def capabilities(values: Values, incomplete: str) -> Items:
    from builder.sandbox.runtime.facts import CAPABILITIES

    yield from _matching(((name, None) for name in ("ALL", *CAPABILITIES)), incomplete)


def paired(types: Mapping[str, Type], values: Values, incomplete: str) -> Items:
    """`key=value,...`: the keys that are not there yet, or values of the last key."""
    before, comma, last = incomplete.rpartition(",")
    kept = before + comma
    key, equals, value = last.partition("=")
    if equals and key in types:
        for item in types[key].suggestions(values, value):
            yield from paths(f"{kept}{key}=", value, item.type == "dir") if item.type != "plain" else (
                CompletionItem(f"{kept}{key}={item.value}", help=item.help),)
        return
    given = {field.partition("=")[0] for field in before.split(",")}
    for name, kind in types.items():
        if name not in given and name.startswith(last):
            words = [item for item in kind.suggestions(values, "") if item.type == "plain"] if not kept else []
            yield from (CompletionItem(f"{name}={item.value}") for item in words) if words else (
                CompletionItem(f"{kept}{name}="),)


def paths(prefix: str, path: str, directories: bool) -> Items:
    """What is in the folder that `path` begins to name: behind a prefix, where shells do not complete files."""
    folder, slash, begun = path.rpartition("/")
    with os.scandir(folder + slash or ".") as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            is_folder = entry.is_dir()
            if entry.name.startswith(begun) and (begun or entry.name[0] != ".") and (is_folder or not directories):
                yield CompletionItem(f"{prefix}{folder}{slash}{entry.name}{'/' if is_folder else ''}")

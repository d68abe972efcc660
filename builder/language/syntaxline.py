"""`# syntax=`: the language that a file is written in.

BuildKit fetches that image and has it read the file. Here only Dockerfiles are read, so another language is refused by
its name; a version of Dockerfile's own language is not switched on or off, but what came after the version that the
file names is reported. "Minimum Dockerfile version": https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from builder.errors import DockerfileError
from builder.language.instructions import Add, Copy, Directive, Dockerfile, Run, Statement
from builder.source import Location, Source, Span

_IMAGE = re.compile(r"(?P<name>.*?)(?::(?P<tag>[\w.-]+))?(?:@[\w:]+)?")
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?(?P<labs>-labs)?")
_LANGUAGE = frozenset({"dockerfile", "dockerfile-upstream", "dockerfile.v0"})
"""Last words of the names under which mirrors keep it too."""
_SLASHES = re.compile(r"//\s*syntax\s*=\s*(\S+)")


class ForeignSyntax(DockerfileError):
    code = "foreign-syntax"

    def __init__(self, image: str, location: Location) -> None:
        super().__init__(f"the file is written for `{image}`, which is not Dockerfile's language", location=location,
                         hint="use docker/dockerfile, or remove the line if the file is a Dockerfile")


def foreign_syntax(source: Source, directives: Sequence[Directive]) -> ForeignSyntax | None:
    """The complaint about a file in another language; also `//syntax=` and JSON can name one."""
    for directive in directives:
        if directive.key == "syntax":
            return _foreign(directive.value, Location(source, directive.span))
    place = Location(source, Span.at_line(1))
    if (match := _SLASHES.match(source.text)) is not None:
        return _foreign(match[1], place)
    if source.text.lstrip().startswith("{") and '"syntax"' in source.text:
        import json

        try:
            data = json.loads(source.text)
        except (ValueError, RecursionError):
            return None
        named = data.get("syntax") if isinstance(data, dict) else None
        return _foreign(named, place) if isinstance(named, str) else None
    return None


def _foreign(value: str, location: Location) -> ForeignSyntax | None:
    words = value.split()
    image = words[0] if words else ""
    match = _IMAGE.fullmatch(image)
    name = match["name"].rpartition("/")[2].lower() if match is not None else image
    return None if name in _LANGUAGE else ForeignSyntax(image, location)


def later_than_named(dockerfile: Dockerfile) -> Iterator[str]:
    """A sentence for everything that the version of the file's `# syntax=` does not have yet."""
    match = _IMAGE.fullmatch(dockerfile.directive("syntax") or "")
    version = _VERSION.fullmatch((match["tag"] or "") if match is not None else "")
    if version is None or version["labs"]:
        return
    named = (int(version[1]), int(version[2]))
    reported: set[str] = set()
    for statement in (each for stage in dockerfile.stages for each in stage.body):
        for what, since in _features(statement):
            if since > named and what not in reported:
                reported.add(what)
                yield (f"{dockerfile.source.name}:{statement.span.line}: {what} came with docker/dockerfile:"
                       f"{since[0]}.{since[1]}, but the file names {named[0]}.{named[1]}")


def _features(statement: Statement) -> Iterator[tuple[str, tuple[int, int]]]:
    match statement.instruction:
        case Run() as run:
            found = (("RUN --mount", bool(run.mounts), (1, 2)), ("RUN --network", bool(run.network), (1, 3)),
                     ("RUN --security", bool(run.security), (1, 20)))
        case Copy() as copy:
            found = (("COPY --link", copy.link, (1, 4)), ("COPY --exclude", bool(copy.exclude), (1, 19)),
                     ("COPY --parents", copy.parents, (1, 20)))
        case Add() as add:
            found = (("ADD --link", add.link, (1, 4)), ("ADD --checksum", bool(add.checksum), (1, 6)),
                     ("ADD --exclude", bool(add.exclude), (1, 19)))
        case _:
            return
    yield from ((what, since) for what, used, since in found if used)
    if re.search(r"<<-?['\"]?\w", statement.text) and _has_heredoc(statement):
        yield "a here-document", (1, 4)


def _has_heredoc(statement: Statement) -> bool:
    instruction = statement.instruction
    if isinstance(instruction, Copy | Add):
        return bool(instruction.heredocs)
    return isinstance(instruction, Run) and bool(getattr(instruction.command, "heredocs", ()))

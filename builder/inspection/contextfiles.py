"""Which files of its contexts a build would take, and which rule leaves each other one out.

As in BuildKit, a context has no files of its own accord: what no COPY, ADD or mount names is never read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import msgspec

from builder.build.inputs import Inputs
from builder.context.local import LocalContext
from builder.errors import BuilderError
from builder.language.ignore import IgnoreRules, MatchState
from builder.layer.selection import select
from builder.layer.tree import Entry, FileTree, shown
from builder.plan.vertices import Plan, SourceContext, Vertex
from builder.solver.lineage import instruction_of, selections


class ContextFile(msgspec.Struct, frozen=True):
    path: str
    """In its context; a directory ends with a slash."""
    size: int


class Taking(msgspec.Struct, frozen=True, kw_only=True):
    """What one instruction takes from one context."""

    instruction: str
    line: int
    """In the Dockerfile; 0 if it has none."""
    context: str
    """`context`, or the name of a named one."""
    files: tuple[ContextFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file that an ignore rule hides, or a directory with all that is in it."""

    path: str
    size: int
    files: int
    """How many: 1 for a file."""
    rule: str
    line: int
    """Of the ignore file."""
    ignore_file: str


class ContextListing(msgspec.Struct, frozen=True, kw_only=True):
    takings: tuple[Taking, ...]
    left_out: tuple[LeftOut, ...]
    unused: tuple[ContextFile, ...]
    """Files of the build context that no rule hides and no instruction takes."""


def list_context(plan: Plan, inputs: Inputs, trees: Mapping[str, FileTree]) -> ContextListing:
    """Raises what a build would raise for a source that is not there."""
    takings = [taking for vertex in plan.vertices for taking in _takings(plan, vertex, trees)]
    taken = {file.path for taking in takings if taking.context == "context" for file in taking.files}
    unused = [file for file in _files(inputs.context.walk("")) if file.path not in taken]
    rules = inputs.rules
    left_out = list(_left_out(inputs.context.root, rules)) if rules is not None else []
    return ContextListing(takings=tuple(takings), left_out=tuple(left_out), unused=tuple(unused))


def _takings(plan: Plan, vertex: Vertex, trees: Mapping[str, FileTree]) -> Iterator[Taking]:
    for source, input, copy in selections(vertex):
        op = plan.vertices[vertex.inputs[input]].op
        if not isinstance(op, SourceContext):
            continue
        try:
            matches = select(source, trees[op.name], copy)
        except BuilderError as error:
            raise error.at(vertex.location) from error
        entries = [entry for match in matches for entry in (match.entry, *(found.entry for found in match.contents))]
        yield Taking(instruction=instruction_of(vertex), line=vertex.location.span.line if vertex.location else 0,
                     context=op.name, files=tuple(_files(entries)))


def _files(entries: Iterator[Entry] | list[Entry]) -> Iterator[ContextFile]:
    """All but directories."""
    for entry in entries:
        if not entry.is_dir:
            yield ContextFile(shown(entry.path), entry.stat.st_size if entry.is_file else 0)


def _left_out(root: str, rules: IgnoreRules) -> Iterator[LeftOut]:
    everything = LocalContext(root, None)

    def below(directory: str, state: MatchState) -> Iterator[LeftOut]:
        for entry in everything.children(directory):
            hidden, inner = rules.match(entry.path, state)
            if entry.is_dir and (not hidden or rules.may_have_inclusions_below(entry.path)):
                yield from below(entry.path, inner)
            elif hidden:
                yield _hidden(everything, entry, rules)

    yield from below("", None)


def _hidden(tree: LocalContext, entry: Entry, rules: IgnoreRules) -> LeftOut:
    found = list(_files(tree.walk(entry.path))) if entry.is_dir else list(_files([entry]))
    rule = rules.deciding_rule(entry.path)
    assert rule is not None
    return LeftOut(path=shown(entry.path) + ("/" if entry.is_dir else ""), size=sum(file.size for file in found),
                   files=len(found), rule=rule.pattern, line=rule.line, ignore_file=os.path.basename(rules.name))

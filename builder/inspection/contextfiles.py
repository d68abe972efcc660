"""Which files of its contexts a build would take, and which rule leaves each other one out.

As in BuildKit, a context has no files of its own accord: what no COPY, ADD or mount names is never read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from builder.builds.inputs import Inputs
from builder.context.gitignore import GitIgnore
from builder.context.local import LocalContext
from builder.errors import BuilderError
from builder.language.ignore import IgnoreRules, MatchState, line_for
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


class GitIgnored(msgspec.Struct, frozen=True, kw_only=True):
    """A file that git ignores and an instruction takes, or a directory of such files."""

    path: str
    size: int
    files: int
    """How many are taken: 1 for a file."""
    suggestion: str
    """A line of .dockerignore that leaves it out, and nothing that git does not ignore."""


class ContextListing(msgspec.Struct, frozen=True, kw_only=True):
    takings: tuple[Taking, ...]
    left_out: tuple[LeftOut, ...]
    unused: tuple[ContextFile, ...]
    """Files of the build context that no rule hides and no instruction takes."""
    git_ignored: tuple[GitIgnored, ...] = ()


def list_context(plan: Plan, inputs: Inputs, trees: Mapping[str, FileTree]) -> ContextListing:
    """Raises what a build would raise for a source that is not there."""
    takings = [taking for vertex in plan.vertices for taking in _takings(plan, vertex, trees)]
    taken = {file.path for taking in takings if taking.context == "context" for file in taking.files}
    unused = [file for file in _files(inputs.context.walk("")) if file.path not in taken]
    rules = inputs.rules
    left_out = list(_left_out(inputs.context.root, rules)) if rules is not None else []
    return ContextListing(takings=tuple(takings), left_out=tuple(left_out), unused=tuple(unused),
                          git_ignored=_git_ignored(inputs.context, takings))


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


def _git_ignored(context: LocalContext, takings: Sequence[Taking]) -> tuple[GitIgnored, ...]:
    """Of a context on this machine. A directory without a tracked file stands for all in it."""
    if not context.root_owned:
        return ()
    ignore = GitIgnore(context.root)
    taken = {file.path: file.size for taking in takings if taking.context == "context" for file in taking.files}
    found: dict[str, list[int]] = {}
    for path, size in taken.items():
        if ignore.ignores(path):
            parts = path.split("/")
            folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
            top = next((f"{folder}/" for folder in folders if ignore.ignores(folder, is_dir=True)), path)
            found.setdefault(top, []).append(size)
    names = [_name(path) for path in found]
    kept = {_name(entry.path) for entry in context.walk("") if not ignore.ignores(entry.path, is_dir=entry.is_dir)} \
        if len(set(names)) < len(names) else set()
    return tuple(GitIgnored(
        path=path, size=sum(sizes), files=len(sizes),
        suggestion=f"**/{line_for(name)}" if names.count(name) > 1 and name not in kept else line_for(path.rstrip("/")))
        for (path, sizes), name in zip(found.items(), names, strict=True))


def _name(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]

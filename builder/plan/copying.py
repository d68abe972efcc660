"""COPY and ADD: one Copy vertex over the sources that the words name."""

from __future__ import annotations

import posixpath
import re

from builder.language.instructions import Add, Copy, Heredoc
from builder.lint import rules
from builder.plan import vertices as v
from builder.plan.errors import PlanError, StageNotYetDefined
from builder.plan.stage import StagePlanner
from builder.plan.stages import Command


class CopyPlanner:
    """Plans one COPY or ADD in the stage that `planner` is at."""

    def __init__(self, planner: StagePlanner, command: Command, instruction: Copy | Add) -> None:
        self._planner = planner
        self._command = command
        self._statement = command.statement
        self._instruction = instruction
        self._inputs: list[int] = [] if planner.node.root is None else [planner.node.root]
        self._sources: list[v.CopySource] = []

    def plan(self) -> None:
        instruction, planner = self._instruction, self._planner
        self._chown = self._expand(instruction.chown)
        self._chmod = self._expand(instruction.chmod)
        self._checksum = self._expand(instruction.checksum) if isinstance(instruction, Add) else ""
        _check_mode(self._chmod)
        paths = [self._expand(source) for source in instruction.sources]
        destination = self._expand(instruction.destination)
        heredocs = [self._heredoc(heredoc) for heredoc in instruction.heredocs]
        self._check_checksum(paths)
        self._name = planner.step_name(self._statement.text)
        for path in paths:
            self._add_source(path)
        if heredocs:
            self._add_input(v.SourceInline(files=tuple(heredocs)), tuple(f.name for f in heredocs), literal=True,
                            name="preparing inline document")
        op = v.Copy(
            sources=tuple(self._sources), destination=planner.absolute(destination),
            has_parent=planner.node.root is not None, owner=self._chown or None, mode=self._chmod,
            exclude=instruction.exclude, parents=isinstance(instruction, Copy) and instruction.parents,
            link=instruction.link and not self._chmod)
        planner.node.root = planner.add(op, tuple(self._inputs), name=self._name, statement=self._statement)
        planner.commit(self._history(paths, heredocs, destination), layer=True)

    def _history(self, paths: list[str], heredocs: list[v.InlineFile], destination: str) -> str:
        instruction = self._instruction
        words = ["COPY" if isinstance(instruction, Copy) else "ADD"]
        if isinstance(instruction, Copy) and instruction.parents:
            words.append("--parents")
        if self._chown:
            words.append(f"--chown={self._chown}")
        if self._chmod:
            words.append(f"--chmod={self._chmod}")
        return " ".join([*words, *paths, *(f"<<{file.name}" for file in heredocs), destination]) + " # buildkit"

    def _expand(self, word: str) -> str:
        return self._planner.scope.expand(word, self._statement)

    def _heredoc(self, heredoc: Heredoc) -> v.InlineFile:
        body = heredoc.body
        if heredoc.expand:
            body = self._planner.scope.expand_body(body, self._statement)
        return v.InlineFile(heredoc.name, body)

    def _check_checksum(self, paths: list[str]) -> None:
        if not self._checksum:
            return
        if len(paths) != 1:
            raise PlanError("checksum can't be specified for multiple sources")
        if self._remote(paths[0]) is None:
            raise PlanError("checksum requires HTTP(S) or Git sources")

    def _add_source(self, path: str) -> None:
        source = self._remote(path)
        match source:
            case None:
                self._add_files(path)
            case v.SourceGit():
                self._add_input(source, ("/",), literal=True, name=self._name)
            case v.SourceHttp(filename=filename):
                unpack = isinstance(self._instruction, Add) and bool(self._instruction.unpack)
                self._add_input(source, (filename,), literal=True, unpack=unpack, name=self._name)

    def _remote(self, path: str) -> v.SourceGit | v.SourceHttp | None:
        if "://" not in path and "@" not in path:
            return None
        from builder.plan.addremote import remote_source

        return remote_source(self._instruction, path, self._checksum)

    def _add_files(self, path: str) -> None:
        instruction = self._instruction
        if isinstance(instruction, Copy) and instruction.from_:
            source = self._command.sources[0]
            assert source is not None
            if not source.planned:
                raise StageNotYetDefined("copy", instruction.from_, self._planner.location(self._statement))
            vertex = source.context if source.context is not None else source.root
        else:
            self._check_ignored(path)
            vertex = self._planner.main_context()
        unpack = isinstance(instruction, Add) and instruction.unpack is not False
        if vertex is None:  # an image without layers, or scratch
            vertex = self._planner.add(v.SourceInline(files=()), (), name="empty", statement=self._statement)
        self._append(vertex, (path,), unpack=unpack)

    def _check_ignored(self, path: str) -> None:
        clean = posixpath.normpath(re.sub("^/+", "/", path))
        if self._planner.resolver.ignored(clean):
            keyword = "Copy" if isinstance(self._instruction, Copy) else "Add"
            self._planner.linter.report(rules.COPY_IGNORED_FILE, self._statement.span, keyword, clean,
                                        comments=self._statement.comments)

    def _add_input(self, op: v.AnyOp, paths: tuple[str, ...], *, name: str, literal: bool = False,
                   unpack: bool = False) -> None:
        vertex = self._planner.add(op, (), name=name, statement=self._statement)
        self._append(vertex, paths, literal=literal, unpack=unpack)

    def _append(self, vertex: int, paths: tuple[str, ...], *, literal: bool = False, unpack: bool = False) -> None:
        has_parent = self._planner.node.root is not None
        position = next((i for i, known in enumerate(self._inputs) if known == vertex and i >= has_parent), None)
        if position is None:
            position = len(self._inputs)
            self._inputs.append(vertex)
        self._sources.append(v.CopySource(input=position, paths=paths, literal=literal, unpack=unpack))


def _check_mode(mode: str) -> None:
    if not mode:
        return
    numeric = re.fullmatch(r"[0-9]+", mode) is not None
    if re.fullmatch(r"[0-7]+", mode) and int(mode, 8) <= 0o7777:
        return
    if numeric or not re.fullmatch(r"[ugoa]*(?:[-+=][rwxXst]*[ugo]?)+(?:,[ugoa]*(?:[-+=][rwxXst]*[ugo]?)+)*", mode):
        raise PlanError(f"invalid chmod parameter: '{mode}'. it should be octal string and between 0 and 07777")

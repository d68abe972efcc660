"""Stages and what they stand on: names, bases, `--from` edges, what the target reaches.

Follows BuildKit: names are compared in lower case, of several stages of one name the last wins (for a base: the last
before it), a base that no earlier stage has is an image, `--from=<number>` counts stages from 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from builder.golang.numbers import parse_integer
from builder.language.instructions import Copy, Dockerfile, Onbuild, Run, Stage, Statement
from builder.language.runmounts import RunMount
from builder.oci import ContainerConfig, History, Platform
from builder.plan.errors import CircularDependency, EndlessTriggers, InvalidStageIndex
from builder.plan.planoptions import NamedContext
from builder.plan.scope import Scope
from builder.plan.vertices import Mount, Plan, ResolvedImage
from builder.source import Location, Span

_MAX_TRIGGER_DEPTH = 10
_MAX_TRIGGERS = 1_000
"""ONBUILD triggers of one build; real images have a handful, and none whose images have triggers again."""


class Command:
    """One instruction of a stage, with the stages (or images) that it takes files from."""

    def __init__(self, statement: Statement, *, is_onbuild: bool = False) -> None:
        self.statement = statement
        self.is_onbuild = is_onbuild
        self.sources: tuple[StageNode | None, ...] = ()


class StageNode:
    """A stage, or an image or named context that `--from` names; filled in as planning proceeds."""

    def __init__(self, base_name: str, *, stage: Stage | None = None, index: int = -1,
                 location: Location | None = None) -> None:
        self.stage = stage
        self.index = index
        self.name = stage.base.name if stage else ""
        self.base_name = base_name
        self.location = location
        self.platform: Platform | None = None
        self.base: StageNode | None = None
        self.named_context: NamedContext | None = None
        self.image: ResolvedImage | None = None
        self.included: Plan | None = None
        """The other target's plan that is the base; `image` is then what that one starts from."""
        self.commands: list[Command] = []
        self.onbuild_done = False
        self.depth = 0
        """How many ONBUILD triggers of ONBUILD triggers led to it."""
        self.planned = False
        # what planning makes of it
        self.scope: Scope | None = None
        self.config = ContainerConfig()
        self.author = ""
        self.history: list[History] = []
        self.root: int | None = None
        self.context: int | None = None
        """The vertex of a named context that is a plain tree (then `root` is not set)."""
        self.workdir_set = False
        self.mounts: list[tuple[Mount, Span]] = []
        """Of its RUNs, each with the instruction's place."""
        self.step = 0
        self.only_stage = False

    @property
    def is_image(self) -> bool:
        """True for what `--from` names without being a stage of the file."""
        return self.stage is None

    @property
    def label(self) -> str:
        return self.name or (f"stage-{self.index}" if self.stage else self.base_name)

    @property
    def sources(self) -> list[StageNode]:
        """What its instructions take files from."""
        return [source for command in self.commands for source in command.sources if source is not None]

    @property
    def needs(self) -> list[StageNode]:
        """Its sources, and the stage that it continues."""
        return self.sources if self.base is None else [self.base, *self.sources]


SourceName: TypeAlias = Callable[[str, StageNode, Command, Location], str]


class StageGraph:
    """The stages of one file, in order, then the images that they copy or mount from."""

    def __init__(self, dockerfile: Dockerfile, run_mounts: tuple[RunMount, ...] = ()) -> None:
        """`run_mounts` are mounts that every RUN has before its own."""
        self.source_name: SourceName = lambda name, node, command, location: name
        """What a COPY takes files from, variables expanded."""
        self._dockerfile = dockerfile
        self._run_mounts = run_mounts
        self.nodes: list[StageNode] = []
        self._by_name: dict[str, StageNode] = {}
        self._stage_count = 0
        self._trigger_count = 0

    def locate(self, span: Span) -> Location:
        return Location(self._dockerfile.source, span)

    def add_stage(self, node: StageNode) -> None:
        """Registers a stage; its base is the stage of that name registered so far, if there is one."""
        self.nodes.append(node)
        self._stage_count += 1
        if node.named_context is None:
            node.base = self._by_name.get(node.base_name)
        if node.name:
            self._by_name[node.name.lower()] = node

    def find(self, name: str) -> StageNode | None:
        return self._by_name.get(name.lower())

    def names(self) -> list[str]:
        return [node.label for node in self.nodes if not node.is_image]

    def link(self, node: StageNode, command: Command) -> bool:
        """Finds what `command` takes files from; True when it needs something."""
        statement = command.statement
        location = self.locate(statement.span)
        match statement.instruction:
            case Copy(from_=source) if source:
                name = self.source_name(source, node, command, location)
                command.sources = (self._copy_source(name, node, command, location),)
            case Run(mounts=mounts):
                command.sources = tuple(
                    self._mount_source(mount, node, command, location) for mount in (*self._run_mounts, *mounts))
        return any(source is not None for source in command.sources)

    def _copy_source(self, source: str, node: StageNode, command: Command, location: Location) -> StageNode:
        try:
            index = parse_integer(source, 64)
        except ValueError:
            return self.find(source) or self._add_image(source, node, command, location)
        if not 0 <= index < len(self.nodes):
            raise InvalidStageIndex(index, self._stage_count, location)
        return self.nodes[index]

    def _mount_source(self, mount: RunMount, node: StageNode, command: Command, location: Location) -> StageNode | None:
        source = mount.from_
        if not source or source == "scratch":
            return None
        return self.find(source) or self._add_image(source, node, command, location)

    def _add_image(self, name: str, user: StageNode, command: Command, location: Location) -> StageNode:
        node = StageNode(name, location=user.location if command.is_onbuild else location)
        node.depth = user.depth + command.is_onbuild
        self.nodes.append(node)
        return node

    def check_cycles(self) -> None:
        """Raises CircularDependency where a stage takes files from itself.

        Bases do not count, for they come first in the file: a loop through one holds a source that is not yet defined,
        which planning that instruction says, as BuildKit does.
        """
        done: set[int] = set()
        for start in self.nodes:
            path: dict[int, Iterator[StageNode]] = {}
            stack = [start]
            while stack:
                node = stack[-1]
                if id(node) in done:
                    stack.pop()
                    continue
                pending = path.setdefault(id(node), iter(node.sources))
                following = next(pending, None)
                if following is None:
                    done.add(id(node))
                    del path[id(node)]
                    stack.pop()
                elif id(following) in path:
                    raise CircularDependency(following.label, node.location)
                elif id(following) not in done:
                    stack.append(following)

    def reachable(self, target: StageNode) -> list[StageNode]:
        """What `target` needs, itself included, in the order of the file."""
        found: set[int] = set()
        stack = [target]
        while stack:
            node = stack.pop()
            if id(node) not in found:
                found.add(id(node))
                stack += node.needs
        return [node for node in self.nodes if id(node) in found]

    def onbuild_triggers(self, node: StageNode) -> list[str]:
        """The ONBUILD expressions that `node` inherits from its base image or base stage. Raises EndlessTriggers."""
        triggers: list[str] = []
        start = node.included or node.image
        if node.base is None and start and start.config.config.on_build:
            triggers += start.config.config.on_build
        if node.base is not None:
            triggers += [c.statement.instruction.expression for c in node.base.commands
                         if isinstance(c.statement.instruction, Onbuild)]
        self._trigger_count += len(triggers)
        if triggers and (node.depth > _MAX_TRIGGER_DEPTH or self._trigger_count > _MAX_TRIGGERS):
            raise EndlessTriggers(node.base_name, _MAX_TRIGGER_DEPTH, _MAX_TRIGGERS, node.location)
        return triggers

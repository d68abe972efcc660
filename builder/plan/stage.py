"""A stage being planned: what every instruction works on, whatever its kind."""

from __future__ import annotations

import math
import posixpath

import msgspec

from builder.golang.paths import clean_absolute
from builder.golang.times import rfc3339
from builder.language.instructions import Statement
from builder.lint.linter import Linter
from builder.oci import ContainerConfig, History
from builder.plan.graphbuilder import GraphBuilder
from builder.plan.planoptions import MetaResolver, PlanOptions
from builder.plan.scope import Scope
from builder.plan.stages import StageGraph, StageNode
from builder.plan.vertices import AnyOp, SourceContext
from builder.source import Location

HISTORY_COMMENT = "buildkit.dockerfile.v0"


class StagePlanner:
    """The stage `node` with the tools of the whole plan; instructions change `node` through it."""

    def __init__(self, node: StageNode, *, options: PlanOptions, resolver: MetaResolver, linter: Linter,
                 stages: StageGraph, graph: GraphBuilder, global_args: dict[str, str], epoch: int | None) -> None:
        assert node.scope is not None
        self.node = node
        self.options = options
        self.resolver = resolver
        self.linter = linter
        self.global_args = global_args
        self.epoch = epoch
        self.scope: Scope = node.scope
        self.total = 0
        """Steps of the stage, for `[stage 2/5]`."""
        self.is_onbuild = False
        self._stages = stages
        self._graph = graph

    def location(self, statement: Statement) -> Location:
        return self._stages.locate(statement.span)

    def change(self, **fields: object) -> None:
        """Replaces fields of the image's config."""
        self.node.config = msgspec.structs.replace(self.node.config, **fields)

    @property
    def config(self) -> ContainerConfig:
        return self.node.config

    def commit(self, created_by: str, *, layer: bool = False) -> None:
        """Adds a history entry. Raises TooMuchText."""
        self.scope.budget.spend(len(created_by))
        created = rfc3339(self.epoch) if self.epoch is not None else None
        self.node.history.append(History(created=created, created_by=created_by, comment=HISTORY_COMMENT,
                                         empty_layer=not layer))

    def add(self, op: AnyOp, inputs: tuple[int, ...], *, name: str, statement: Statement | None) -> int:
        location = self.location(statement) if statement is not None else self.node.location
        no_cache = self.options.no_cache or self.node.label.lower() in self.options.no_cache_filter
        return self._graph.add(op, inputs, name=name, location=location, stage=self.node.label, ignore_cache=no_cache)

    def main_context(self) -> int:
        return self._graph.add(SourceContext(name="context"), name="[internal] load build context")

    def step_name(self, text: str, masked: tuple[str, ...] = ()) -> str:
        """The next step's name for people: `[stage 2/5] RUN make`."""
        keyword, _, rest = self.scope.display(text, masked).partition(" ")
        return self.prefix() + f"{keyword.upper()} {rest}"

    def prefix(self) -> str:
        self.node.step += 1
        if self.total == 0:
            return ""
        words = [] if self.node.only_stage else [self.node.label]
        if self.options.multi_platform:
            words.insert(0, str(self.node.platform or self.options.platform))
        width = 1 + int(math.log10(self.total))
        words.append(f"{self.node.step:{width}d}/{self.total}")
        return f"[{' '.join(words)}] " + ("ONBUILD " if self.is_onbuild else "")

    def absolute(self, path: str) -> str:
        """`path` from the working directory, cleaned; a trailing slash (or `/.`) stays as a slash."""
        is_dir = path in {"", "."} or path.endswith(("/", "/."))
        joined = clean_absolute(posixpath.join("/", self.config.working_dir, path))
        return joined + "/" if is_dir and joined != "/" else joined

"""From a Dockerfile and options to a Plan.

The order of work is BuildKit's, because it decides which error is seen first: global ARGs, stages and their bases,
target, edges, base images of what the target reaches (with the triggers they bring), then the instructions.
"""

from __future__ import annotations

import msgspec

from builder.errors import BuilderError
from builder.golang.paths import clean_absolute
from builder.language import instructions as i
from builder.language.instructions import Dockerfile
from builder.language.words import Words
from builder.lint import rules
from builder.lint.checks import check_text
from builder.lint.linter import Linter
from builder.oci import ContainerConfig, ImageConfig, Platform
from builder.plan import vertices as v
from builder.plan.basenames import BaseNames
from builder.plan.copying import CopyPlanner
from builder.plan.errors import BlankBaseName, NoStages, UnknownTarget
from builder.plan.graphbuilder import GraphBuilder, reached
from builder.plan.imagesettings import inherited, with_settings
from builder.plan.metadata import MetadataPlanner
from builder.plan.planoptions import ContextTree, EmptyTree, MetaResolver, PlanOptions
from builder.plan.running import RunPlanner
from builder.plan.scope import DEFAULT_PATH, Scope, TextBudget
from builder.plan.sourcenames import SourceNames
from builder.plan.stage import StagePlanner
from builder.plan.stages import Command, StageGraph, StageNode
from builder.platforms import normalize
from builder.reference import Reference

_OWN_NAMES = frozenset({"scratch", "context"})
"""Stages of these names are never replaced by a named context."""


def plan(dockerfile: Dockerfile, options: PlanOptions, resolver: MetaResolver, linter: Linter, *,
         epoch: int | None = None) -> v.Plan:
    """The plan for one platform. Findings of the checks go to `linter`.

    Raises DockerfileError (with a location), UnknownTarget, LintViolation where findings are errors, and the errors of
    `resolver`.
    """
    return Planner(dockerfile, options, resolver, linter, epoch).plan()


class Planner:
    """Planning of one file for one platform: `plan`, or `evaluate` for who wants the stages and not the image."""

    def __init__(self, dockerfile: Dockerfile, options: PlanOptions, resolver: MetaResolver, linter: Linter,
                 epoch: int | None) -> None:
        self._dockerfile = dockerfile
        self._options = options
        self._resolver = resolver
        self._linter = linter
        self._epoch = epoch
        self._words = Words(dockerfile.escape, dockerfile.words)
        self._stages = StageGraph(dockerfile, options.run.mounts)
        self._graph = GraphBuilder()
        self._budget = TextBudget()
        self.global_args: dict[str, str] = {}
        """Values of the ARGs before the first FROM, and of the predefined ones."""

    def plan(self) -> v.Plan:
        return self._finish(self.evaluate())

    def evaluate(self) -> StageNode:
        """Plans all that the target needs; the target. Raises as `plan` does."""
        if not self._dockerfile.stages:
            raise NoStages
        check_text(self._dockerfile, self._linter)
        bases = BaseNames(self._dockerfile, self._options, self._words, self._linter, self._budget)
        self.global_args = bases.global_args
        self._stages.source_name = SourceNames(self._words, self.global_args, self._options.build_args,
                                              self._budget).expand
        for index, stage in enumerate(self._dockerfile.stages):
            self._add_stage(index, stage, bases)
        target = self._target()
        for node in list(self._stages.nodes):
            for command in node.commands:
                self._stages.link(node, command)
        self._stages.check_cycles()
        if len(self._stages.nodes) == 1:
            target.only_stage = True
        reachable = self._resolve(target)
        for node in reachable:
            self._plan_stage(node)
        self._linter.raise_if_failed()
        return target

    # -- stages --------------------------------------------------------------------------------------------------

    def _add_stage(self, index: int, stage: i.Stage, bases: BaseNames) -> None:
        location = self._stages.locate(stage.statement.span)
        base_name = bases.expand(stage.base.image, stage.statement)
        if index == 0:
            base_name = self._options.base or base_name
        if not base_name:
            raise BlankBaseName(stage.base.image, location)
        node = StageNode(base_name, stage=stage, index=index, location=location)
        node.commands = [Command(statement) for statement in stage.body]
        if stage.base.platform:
            node.platform = bases.platform(stage)
        if node.name and node.name.lower() not in _OWN_NAMES:
            platform = node.platform or self._options.platform
            node.named_context = self._resolver.named_context(node.name.lower(), platform)
        if node.named_context is not None:
            node.commands = []
        self._stages.add_stage(node)

    def _target(self) -> StageNode:
        wanted = self._options.target
        if not wanted:
            return self._stages.nodes[-1]
        node = self._stages.find(wanted)
        if node is None:
            raise UnknownTarget(wanted, self._stages.names())
        return node

    # -- bases ---------------------------------------------------------------------------------------------------

    def _resolve(self, target: StageNode) -> list[StageNode]:
        """Base images of what is reached, and the ONBUILD triggers that they and base stages bring."""
        while True:
            reachable = self._stages.nodes if self._options.unused_stages else self._stages.reachable(target)
            wanted = self._stages.nodes if self._options.all_stages else reachable
            for node in wanted:
                if node.base is None and node.image is None and not node.planned:
                    try:
                        self._resolve_base(node)
                    except BuilderError as error:
                        from builder.golang.suggest import suggestion

                        if near := suggestion(node.base_name, self._stages.names()):
                            error.notes = (*error.notes, f"there is no stage `{node.base_name}`{near}")
                        raise error.at(node.location) from None
            found_edges = False
            for node in reachable:
                if not node.onbuild_done:
                    node.onbuild_done = True
                    found_edges |= self._add_triggers(node)
            if not found_edges:
                return list(wanted)
            self._stages.check_cycles()

    def _resolve_base(self, node: StageNode) -> None:
        platform = node.platform or self._options.platform
        context = node.named_context
        if context is None and node.base_name == "scratch":
            node.planned = node.is_image
            return
        if context is None:
            context = self._resolver.named_context(node.base_name, platform)
        match context:
            case None:
                reference = Reference.parse(node.base_name).with_default_tag()
                node.image = self._resolver.image(reference, platform)
                self._check_base_platform(node, platform)
            case v.ResolvedImage():
                node.image = context
            case ContextTree(name=name):
                node.context = self._graph.add(v.SourceContext(name=name), name=f"[context {name}] load from client")
            case v.SourceHttp() | v.SourceGit():
                node.context = self._graph.add(context, name=f"[context {node.base_name}]")
            case v.Plan():
                node.included, node.image = context, context.base
            case EmptyTree():
                pass
        self._plan_base(node)

    def _check_base_platform(self, node: StageNode, wanted: Platform) -> None:
        assert node.image is not None
        found = node.image.config.platform
        if (wanted.os, wanted.architecture) != (found.os, found.architecture):
            span = node.stage.statement.span if node.stage is not None else None
            self._linter.report(rules.INVALID_BASE_IMAGE_PLATFORM, span, node.base_name, str(normalize(wanted)),
                                str(normalize(found)))

    def _plan_base(self, node: StageNode) -> None:
        """The vertex of the base; a tree that is built upon becomes a layer."""
        image = node.image
        if node.included is not None:
            node.root = self._graph.include(node.included)
            node.step = 0 if node.is_image else 1
        elif image is not None and image.layers:
            op = v.SourceImage(diff_ids=image.config.rootfs.diff_ids or (), name=image.name, digest=image.digest,
                               descriptors=image.layers, origin=image.origin)
            shown = f"FROM {image.name}@{image.digest}" if "@" not in image.name else f"FROM {image.name}"
            node.root = self._graph.add(op, name=self._base_name(node, shown), location=node.location,
                                        stage=node.label)
        if node.named_context is not None:
            self._inherit(node)
        node.planned = node.is_image or node.named_context is not None

    def _layered_root(self, node: StageNode) -> int | None:
        """The root of a stage that is built upon; a plain tree becomes a layer for that."""
        if node.root is None and node.context is not None:
            op = v.Copy(sources=(v.CopySource(input=0, paths=("/",)),), destination="/", has_parent=False)
            node.root = self._graph.add(op, (node.context,), name=f"FROM {node.base_name}", location=node.location,
                                        stage=node.label)
        return node.root

    def _base_name(self, node: StageNode, shown: str) -> str:
        if node.is_image:
            return shown
        node.step = 1
        total = _count_steps(node)
        return f"[{'' if node.only_stage else node.label + ' '}{1:{len(str(total))}d}/{total}] {shown}"

    def _add_triggers(self, node: StageNode) -> bool:
        triggers = self._stages.onbuild_triggers(node)
        if not triggers:
            return False
        from builder.language.parser import parse_instruction

        commands: list[Command] = []
        for expression in triggers:
            try:
                statement = parse_instruction(expression)
            except BuilderError as error:
                raise error.at(node.location) from None
            if node.stage is not None:
                statement = msgspec.structs.replace(statement, span=node.stage.statement.span)
            command = Command(statement, is_onbuild=True)
            self._stages.link(node, command)
            commands.append(command)
        node.commands = commands + node.commands
        return any(source for command in commands for source in command.sources)

    # -- instructions --------------------------------------------------------------------------------------------

    def _plan_stage(self, node: StageNode) -> None:
        if node.planned:
            return
        node.planned = True
        self._inherit(node)
        planner = StagePlanner(node, options=self._options, resolver=self._resolver, linter=self._linter,
                               stages=self._stages, graph=self._graph, global_args=self.global_args,
                               epoch=self._epoch)
        planner.total = _count_steps(node)
        metadata = MetadataPlanner(planner)
        for command in node.commands:
            planner.is_onbuild = command.is_onbuild
            statement = command.statement
            try:
                match statement.instruction:
                    case i.Run():
                        RunPlanner(planner, command, statement.instruction).plan()
                    case i.Copy() | i.Add():
                        CopyPlanner(planner, command, statement.instruction).plan()
                    case _:
                        metadata.plan(statement)
            except BuilderError as error:
                raise error.at(self._stages.locate(statement.span)) from None

    def _inherit(self, node: StageNode) -> None:
        """Config, history and variables of the base; PATH is always there."""
        if node.base is not None:
            base = node.base
            node.root, node.platform, node.image = self._layered_root(base), base.platform, base.image
            node.config, node.author, node.history = base.config, base.author, list(base.history)
            node.workdir_set = base.workdir_set
            assert base.scope is not None, "bases are planned first"
            node.scope = base.scope.copy()
        else:
            self._layered_root(node)
            node.scope = Scope(self._dockerfile, self._linter, self._budget)
            start = node.included or node.image
            if start is not None:
                node.config = inherited(start.config.config, self._options.image)
                node.author = start.config.author
                node.history = list(node.included.history if node.included else start.config.history or ())
            else:
                node.config = ContainerConfig(working_dir="/", env=(f"PATH={DEFAULT_PATH}",))
        node.config = msgspec.structs.replace(node.config, on_build=None)
        if not any(entry.startswith("PATH=") for entry in node.config.env or ()):
            node.config = msgspec.structs.replace(node.config, env=(*(node.config.env or ()), f"PATH={DEFAULT_PATH}"))
        if node.config.working_dir and not node.config.working_dir.startswith("/"):
            node.config = msgspec.structs.replace(node.config, working_dir=clean_absolute(node.config.working_dir))
        for entry in node.config.env or ():
            key, _, value = entry.partition("=")
            node.scope.set(key, value)

    # -- the image -----------------------------------------------------------------------------------------------

    def _finish(self, target: StageNode) -> v.Plan:
        options = self._options
        target.config = with_settings(target.config, options.image)
        config, platform = self._image_config(target)
        keep, numbers = tuple(self._graph.vertices), dict(enumerate(range(len(self._graph.vertices))))
        if not options.unused_stages:
            keep, numbers = reached(self._graph.vertices, target.root)
        stages = [node for node in self._stages.nodes if node.stage is not None and node.planned
                  and node.named_context is None] if options.save_stages else []
        return v.Plan(
            vertices=keep, output=None if target.root is None else numbers[target.root], config=config,
            history=tuple(target.history), platform=platform, base=target.image, epoch=self._epoch,
            stages=tuple(self._saved(node, numbers) for node in stages if node is not target),
            target=self._saved(target, numbers) if options.save_stages else None)

    def _saved(self, node: StageNode, numbers: dict[int, int]) -> v.SavedStage:
        return v.SavedStage(
            index=node.index, name=node.name or str(node.index), base=node.base_name,
            base_stage=node.base.index if node.base else None, output=None if node.root is None else numbers[node.root],
            config=self._image_config(node)[0], history=tuple(node.history), image=node.image)

    def _image_config(self, target: StageNode) -> tuple[ImageConfig, Platform]:
        options = self._options
        platform = target.image.config.platform if target.image else options.platform
        if options.explicit_platform:
            same = (options.platform.os, options.platform.architecture) == (platform.os, platform.architecture)
            platform = platform if same and not options.platform.variant else options.platform
        platform = normalize(platform)
        base = target.image.config if target.image else ImageConfig()
        return ImageConfig(
            author=target.author, architecture=platform.architecture, os=platform.os, variant=platform.variant,
            os_version=base.os_version, os_features=base.os_features, config=target.config), platform


def _count_steps(node: StageNode) -> int:
    has_base = node.base is None and node.base_name != "scratch"
    own = sum(isinstance(c.statement.instruction, i.Run | i.Copy | i.Add | i.Workdir) or c.is_onbuild
              for c in node.commands)
    return own + has_base

"""What can be given to a build of one target: build args, secrets, SSH agents, cache mounts.

Only what the target reaches counts. A global ARG counts once a FROM or an ARG of a reached stage uses it, directly or
through the default of another.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from builder.language import instructions as i
from builder.language.instructions import Dockerfile
from builder.language.words import Words
from builder.lint.linter import Linter
from builder.plan.planner import Planner
from builder.plan.planoptions import MetaResolver, PlanOptions
from builder.plan.scope import TextBudget, platform_args
from builder.plan.stages import StageNode
from builder.plan.vertices import CacheMount, SecretMount, SshMount
from builder.source import Source, Span


class Argument(msgspec.Struct, frozen=True):
    name: str
    value: str
    description: str
    span: Span


class Need(msgspec.Struct, frozen=True):
    """A secret, an SSH agent or a cache, by its id."""

    name: str
    span: Span
    required: bool = False


T = TypeVar("T", Argument, Need)


class Outline(msgspec.Struct, frozen=True, kw_only=True):
    """Everything in the order of the file."""

    source: Source
    name: str
    description: str
    args: tuple[Argument, ...]
    secrets: tuple[Need, ...]
    ssh: tuple[Need, ...]
    caches: tuple[Need, ...]


def outline(dockerfile: Dockerfile, options: PlanOptions, resolver: MetaResolver, linter: Linter, *,
            epoch: int | None = None) -> Outline:
    """The outline of the wanted target. Raises what planning raises."""
    planner = Planner(dockerfile, options, resolver, linter, epoch)
    target = planner.evaluate()
    survey = _Survey(dockerfile, options, planner.global_args)
    survey.visit(target)
    stage = target.stage
    return Outline(source=dockerfile.source, name=target.name, description=stage.description if stage else "",
                   args=_sorted(survey.args), secrets=_sorted(survey.secrets), ssh=_sorted(survey.ssh),
                   caches=_sorted(survey.caches))


class _Survey:
    """Walks from a stage to what it needs; the first mention of a name counts."""

    def __init__(self, dockerfile: Dockerfile, options: PlanOptions, global_args: dict[str, str]) -> None:
        self._options = options
        self._values = global_args
        self._words = Words(dockerfile.escape, dockerfile.words)
        self._globals, self._defaults = self._read_globals(dockerfile)
        self._seen: set[int] = set()
        self.args: dict[str, Argument] = {}
        self.secrets: dict[str, Need] = {}
        self.ssh: dict[str, Need] = {}
        self.caches: dict[str, Need] = {}

    def _read_globals(self, dockerfile: Dockerfile) -> tuple[dict[str, Argument], dict[str, set[str]]]:
        """The global ARGs, and which names the default of each uses."""
        options = self._options
        env = platform_args(options.build_platform, options.platform, "", options.build_args)
        budget = TextBudget()
        found: dict[str, Argument] = {}
        uses: dict[str, set[str]] = {}
        for statement in dockerfile.global_args:
            assert isinstance(statement.instruction, i.Arg)
            for pair in statement.instruction.pairs:
                names: set[str] = set()
                if pair.key in options.build_args:
                    env[pair.key] = options.build_args[pair.key]
                elif pair.default is not None:
                    expansion = self._words.expand(pair.default, env)
                    names = set(expansion.matched)
                    env[pair.key] = expansion.result
                    budget.spend(len(expansion.result))
                if pair.key in names:
                    names = (names - {pair.key}) | uses.get(pair.key, set())
                uses[pair.key] = names
                found[pair.key] = Argument(pair.key, self._values.get(pair.key, ""), pair.description, statement.span)
        return found, uses

    def visit(self, target: StageNode) -> None:
        pending = [target]
        while pending:
            node = pending.pop()
            if id(node) not in self._seen:
                self._seen.add(id(node))
                self._note(node)
                pending += reversed(node.needs)

    def _note(self, node: StageNode) -> None:
        known, used = self._args_of(node)
        for name in used:
            if name in known:
                self.args.setdefault(name, known[name])
        for mount, span in node.mounts:
            match mount:
                case SecretMount(id=name, required=required):
                    self.secrets.setdefault(name, Need(name, span, required))
                case SshMount(id=name, required=required):
                    self.ssh.setdefault(name, Need(name, span, required))
                case CacheMount(id=name):
                    name = name.removeprefix(f"{self._options.cache_namespace}/")
                    self.caches.setdefault(name, Need(name, span))

    def _args_of(self, node: StageNode) -> tuple[dict[str, Argument], dict[str, None]]:
        """The args that the stage knows, and the names that it uses."""
        known, used = dict(self._globals), self._names_in_from(node)
        inherited = len(node.base.scope.args) if node.base is not None and node.base.scope is not None else 0
        values = node.scope.args[inherited:] if node.scope is not None else []
        declared = [(pair, command.statement.span) for command in node.commands
                    if isinstance(command.statement.instruction, i.Arg)
                    for pair in command.statement.instruction.pairs]
        for (pair, span), (key, value) in zip(declared, values, strict=False):
            is_inherited = pair.default is None and key not in self._options.build_args and key in self._values
            if not is_inherited:
                known[key] = Argument(key, value or "", pair.description, span)
            used[key] = None
        pending = list(used)
        while pending:
            for name in self._defaults.get(pending.pop(), ()):
                if name not in used:
                    used[name] = None
                    pending.append(name)
        return known, used

    def _names_in_from(self, node: StageNode) -> dict[str, None]:
        """The variables in the FROM of the stage and of those below it."""
        names: dict[str, None] = {}
        below: StageNode | None = node
        while below is not None and below.stage is not None and below.named_context is None:
            for word in (below.stage.base.image, below.stage.base.platform):
                names |= dict.fromkeys(self._words.expand(word, self._values).matched)
            below = below.base
        return names


def _sorted(found: dict[str, T]) -> tuple[T, ...]:
    return tuple(sorted(found.values(), key=lambda item: item.span.line))

"""The name behind `COPY --from=$VERSION`, which BuildKit refuses and Buildah expands.

What a stage takes files from must be known before anything is planned, and so before base images are looked at. So the
variables are those that the text alone gives: ARGs, as declared so far in the stage and in the stages that it
continues, and ENVs of these.
"""

from __future__ import annotations

from collections.abc import Mapping

from builder.errors import DockerfileError
from builder.language.instructions import Arg, Env
from builder.language.words import Words
from builder.plan.errors import PlanError
from builder.plan.scope import TextBudget
from builder.plan.stages import Command, StageNode
from builder.source import Location


class SourceNames:
    def __init__(self, words: Words, global_args: Mapping[str, str], given: Mapping[str, str],
                 budget: TextBudget) -> None:
        """`given` are the build args."""
        self._words = words
        self._global_args = global_args
        self._given = given
        self._budget = budget

    def expand(self, name: str, node: StageNode, command: Command, location: Location) -> str:
        """Raises PlanError for a name that becomes empty, and DockerfileError for what is no word."""
        if "$" not in name:
            return name
        try:
            result = self._expanded(name, self._variables(node, command))
        except DockerfileError as error:
            raise error.at(location) from None
        if not result:
            raise PlanError(f"empty value for --from from expression {name}", location=location,
                            hint="declare it: `ARG NAME=default`, in this stage or before the first FROM as well")
        return result

    def _variables(self, node: StageNode, until: Command) -> dict[str, str]:
        """What is set where the command `until` of the stage stands."""
        stages = [node]
        while (base := stages[-1].base) is not None:
            stages.append(base)
        found: dict[str, str] = {}
        for command in (command for stage in reversed(stages) for command in stage.commands):
            if command is until:
                break
            match command.statement.instruction:
                case Env(pairs=pairs):
                    before = dict(found)
                    for pair in pairs:
                        key = self._expanded(pair.key, before)
                        found[key] = self._expanded(pair.value, before)
                case Arg(pairs=args):
                    for arg in args:
                        value = self._value(arg.key, arg.default, found)
                        if value is not None:
                            found[arg.key] = value
        return found

    def _expanded(self, word: str, known: Mapping[str, str]) -> str:
        text = self._words.expand(word, known).result
        self._budget.spend(len(text))
        return text

    def _value(self, key: str, default: str | None, known: Mapping[str, str]) -> str | None:
        if key in self._given:
            return self._given[key]
        if default is not None:
            return self._expanded(default, known)
        return self._global_args.get(key)

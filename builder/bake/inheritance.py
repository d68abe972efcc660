"""From a Config and the names that were asked for to the targets that are built, with all they inherit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from builder.bake.definition import Config
from builder.bake.entries import Entry
from builder.bake.errors import BakeError
from builder.bake.overrides import Override, apply_overrides, matching, parse_overrides
from builder.bake.remotefiles import Place
from builder.bake.target import Group, Target
from builder.bake.values import go_escape
from builder.golang.suggest import did_you_mean

LINK = "target:"
_PATTERN_CHARACTERS = "*?[]"


class UnknownTarget(BakeError):
    code = "bake-unknown-target"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        public = [each for each in known if not each.startswith("_")]
        super().__init__(f"failed to find target {name}", hint=did_you_mean(name, public) or (
            f"there are {', '.join(sorted(public))}" if public else None))


class LinkError(BakeError):
    code = "bake-link"


class Selection(msgspec.Struct, frozen=True):
    """Targets by name, those that others name in `contexts` included, and the groups that led to them."""

    groups: dict[str, Group]
    targets: dict[str, Target]
    overrides: tuple[Override, ...] = ()
    """What `--set` changed."""

    def printed(self) -> str:
        """As `--print` shows it."""
        import json

        groups = {name: self.groups[name].printed() for name in sorted(self.groups)}
        targets = {name: self.targets[name].printed() for name in sorted(self.targets)}
        shown: dict[str, Any] = {"group": groups, "target": targets} if groups else {"target": targets}
        return go_escape(json.dumps(shown, indent=2, ensure_ascii=False))


def select(config: Config, names: Sequence[str], overrides: Sequence[str],
           environment: Mapping[str, str], place: Place | None = None) -> Selection:
    """Raises UnknownTarget, InvalidOverride, LinkError, NoFolders."""
    selector = _Selector(config, parse_overrides(overrides, config, environment), environment, place or Place())
    try:
        return selector.select(names)
    except RecursionError:
        raise BakeError("groups, `inherits` or links are nested too deeply") from None


class _Selector:
    def __init__(self, config: Config, overrides: dict[str, dict[tuple[str, str], Override]],
                 environment: Mapping[str, str], place: Place) -> None:
        self._config = config
        self._targets = {target.name: target for target in reversed(config.targets)}
        self._groups = {group.name: group for group in reversed(config.groups)}
        self._overrides = overrides
        self._environment = environment
        self._place = place
        self._linked: set[str] = set()
        """Targets whose own links are loaded."""

    def select(self, names: Sequence[str]) -> Selection:
        wanted = list(dict.fromkeys(each for name in names for each in self._match(name.replace(".", "_"))))
        targets: dict[str, Target] = {}
        groups: dict[str, Group] = {}
        for name in wanted:
            found, passed = self._expand(name, {})
            for each in found:
                targets[each] = self.target(each)
            groups |= {each: group for each in passed if (group := self._groups.get(each)) is not None}
        default = groups["default"].targets if "default" in groups else ()
        added = [name for name in wanted if not (name == "default" and "default" in groups)]
        if added or "default" in groups:
            group = groups.get("default") or Group(name="default")
            groups["default"] = msgspec.structs.replace(group, targets=tuple(sorted({*default, *added})))
        for name in list(targets):
            self._load_links(name, targets, ())
        return Selection(groups, {name: self._placed(target) for name, target in targets.items()},
                         tuple(each for own in self._overrides.values() for each in own.values()))

    def target(self, name: str) -> Target:
        """The target with all that it inherits."""
        return self._inherit(name, {}).resolved()

    def _placed(self, target: Target) -> Target:
        """With its context's path in its shortest form, and the time stamp that the environment asks for."""
        args = target.args
        if (epoch := self._environment.get("SOURCE_DATE_EPOCH")) and "SOURCE_DATE_EPOCH" not in args:
            args = {**args, "SOURCE_DATE_EPOCH": epoch}
        contexts = {name: self._place.named_context(value) for name, value in target.contexts.items()}
        return msgspec.structs.replace(target, context=self._place.context(target.context or ""), contexts=contexts,
                                       args=args)

    def _match(self, pattern: str) -> list[str]:
        if not any(character in pattern for character in _PATTERN_CHARACTERS):
            return [pattern]
        names = self._config.names()
        found = matching(pattern, names)
        if not found:
            raise UnknownTarget(pattern, names)
        return found

    def _expand(self, name: str, visited: dict[str, tuple[list[str], list[str]]]) -> tuple[list[str], list[str]]:
        """The targets of a group (or the name itself), and the groups on the way."""
        if name in visited:
            return visited[name]
        group = self._groups.get(name)
        if group is None:
            return [name], []
        visited[name] = ([], [])
        targets: list[str] = []
        groups = [name]
        for each in group.targets:
            found, passed = self._expand(each, visited)
            targets += found or [each]
            groups += passed
        visited[name] = (list(dict.fromkeys(targets)), list(dict.fromkeys(groups)))
        return visited[name]

    def _inherit(self, name: str, visited: dict[str, Target | None]) -> Target:
        visited[name] = None
        own = self._targets.get(name)
        if own is None:
            known = self._config.names()
            raise UnknownTarget(name, known)
        result = Target(name=name)
        for parent in own.inherits:
            inherited = visited[parent] if parent in visited else self._inherit(parent, visited)
            if inherited is not None:
                result = result.merge(inherited)
        result = apply_overrides(result.merge(own), self._overrides.get(name, {})).normalized()
        result = msgspec.structs.replace(result, inherits=())
        visited[name] = result
        return result

    def _load_links(self, name: str, targets: dict[str, Target], visited: tuple[str, ...]) -> None:
        """Adds what the target's `contexts` name. Raises LinkError for loops and platforms that do not fit."""
        visited = (*visited, name)
        for value in targets[name].contexts.values():
            if not value.startswith(LINK):
                continue
            other = value.removeprefix(LINK)
            if other == name:
                raise LinkError(f"target {other} cannot link to itself")
            if other in visited:
                raise LinkError(f"infinite loop from {name} to {other}")
            if other not in targets:
                targets[other] = msgspec.structs.replace(
                    self.target(other), outputs=(Entry("cacheonly"),), linked=True)
            if other not in self._linked:
                self._load_links(other, targets, visited)
            own, linked = targets[name], targets[other]
            entitlements = tuple(dict.fromkeys((*(own.entitlements or ()), *(linked.entitlements or ()))))
            targets[name] = msgspec.structs.replace(own, entitlements=entitlements or own.entitlements)
            wanted, there = own.platforms or (), linked.platforms or ()
            if len(wanted) > 1 and len(there) > 1 and not set(wanted) <= set(there):
                raise LinkError(f"target {other} can't be used by {name} because its platforms "
                                f"[{' '.join(wanted)}] are not a subset of [{' '.join(there)}]")
        self._linked.add(name)

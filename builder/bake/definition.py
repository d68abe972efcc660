"""Bodies to groups and targets: names are resolved when something asks for them, whatever the order of the files.

Files are one definition: of variables, functions and attributes of one name the last counts, targets of one name are
merged, groups are replaced. References go to a single definition of a target, before anything is inherited.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from builder.bake import variables
from builder.bake.budget import MAX_TARGETS, Budget, LimitExceeded
from builder.bake.errors import BakeError, ExpressionError, UnknownName
from builder.bake.evaluator import LocalScope, Scope, evaluate
from builder.bake.fields import GROUP_FIELDS, TARGET_FIELDS, Field
from builder.bake.functions import standard_functions
from builder.bake.syntax import Attribute, Block, Body, Call, TupleExpression, Variable
from builder.bake.target import Group, Target
from builder.bake.types import convert, parse_type
from builder.bake.values import Value, text_of
from builder.golang.suggest import did_you_mean
from builder.source import Location

FIELDS: dict[str, dict[str, Field]] = {"group": GROUP_FIELDS, "target": TARGET_FIELDS}
_ONLY_IN_FILES = ("name", "matrix")
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


class Cycle(ExpressionError):
    code = "bake-cycle"


class InvalidName(BakeError):
    code = "bake-name"

    def __init__(self, name: str, location: Location | None = None) -> None:
        super().__init__(f'invalid name `{name}`: only "[a-zA-Z0-9_-]+" are allowed', location=location)


class Config(msgspec.Struct, frozen=True):
    """What definitions come to."""

    groups: tuple[Group, ...] = ()
    targets: tuple[Target, ...] = ()
    variables: tuple[variables.Variable, ...] = ()
    notes: tuple[str, ...] = ()
    """What seems to be a mistake, but is none that buildx would stop at."""

    def names(self) -> list[str]:
        return [*(group.name for group in self.groups), *(target.name for target in self.targets)]

    def group(self, name: str) -> Group | None:
        return next((group for group in self.groups if group.name == name), None)

    def target(self, name: str) -> Target | None:
        return next((target for target in self.targets if target.name == name), None)


def check_name(name: str, location: Location | None = None) -> None:
    """Raises InvalidName."""
    if not name or not _NAME_CHARACTERS.issuperset(name):
        raise InvalidName(name, location)


class _Instance(msgspec.Struct, eq=False):
    """One block for one combination of its matrix, with the fields that were asked for so far."""

    block: Block
    name: str
    scope: Scope
    fields: dict[str, Any] = {}
    open: set[str] = set()


class _Function(msgspec.Struct, frozen=True, eq=False):
    block: Block
    parameters: tuple[str, ...]
    rest: str


def resolve(bodies: Sequence[Body], lookup: variables.Lookup, builtins: Mapping[str, str],
            start: Config | None = None) -> Config:
    """The groups and targets of `bodies`, added to those of `start`. Raises BakeError."""
    return _Evaluation(bodies, lookup, builtins).config(start or Config())


class _Evaluation:
    """A Scope: the names of one definition."""

    def __init__(self, bodies: Sequence[Body], lookup: variables.Lookup, builtins: Mapping[str, str]) -> None:
        self.budget = Budget()
        self._lookup = lookup
        self._values: dict[str, Value] = dict(builtins)
        self._open: list[str] = []
        """Variables and functions that are being evaluated."""
        reserved = {*FIELDS, *builtins}
        blocks = [block for body in bodies for block in body.blocks]
        for block in blocks:
            if block.type in ("variable", "function", *FIELDS) and len(block.labels) != 1:
                raise BakeError(f"a {block.type} has exactly one name", location=block.location)
        self._attributes = {each.name: each for body in bodies for each in body.attributes if each.name not in reserved}
        self._functions = {block.labels[0]: _function(block) for block in blocks if block.type == "function"}
        self._variables: dict[str, variables.VariableDefinition] = {}
        self._variables |= {block.labels[0]: variables.define(block, self) for block in blocks
                           if block.type == "variable" and block.labels[0] not in reserved}
        self._blocks = [block for block in blocks if block.type in FIELDS]
        self._instances: list[_Instance] | None = None
        self._by_name: dict[tuple[str, str], _Instance] = {}
        self._notes: list[str] = []

    def config(self, start: Config) -> Config:
        listed = [variables.listed(each, self.variable(each.name, ())) for each in self._variables.values()]
        variables.check(iter(self._variables.values()), self)
        groups = {group.name: group for group in start.groups}
        targets = {target.name: target for target in start.targets}
        expanded: dict[str, list[str]] = {}
        for instance in self._named_instances():
            values = self._all_fields(instance)
            if instance.block.type == "group":
                groups[instance.name] = Group(name=instance.name, **values)
                continue
            target = Target(name=instance.name, **values)
            known = targets.get(instance.name)
            targets[instance.name] = known.merge(target) if known is not None else target
            expanded.setdefault(instance.block.labels[0], []).append(instance.name)
        for name in self._attributes:
            self.variable(name, ())
        every = [*groups.values(), *(Group(name=label, targets=tuple(names)) for label, names in expanded.items()
                                     if list(dict.fromkeys(names)) != [label])]
        return Config(tuple(map(_deduplicated, every)), tuple(targets.values()), tuple(listed),
                      tuple(dict.fromkeys(self._notes)))

    # -- Scope ---------------------------------------------------------------------------------------------------

    def variable(self, name: str, path: tuple[str, ...]) -> Value:
        if name in FIELDS:
            return self._reference(name, path)
        if name not in self._values:
            self._values[name] = self._resolve(name)
        return self._values[name]

    def call(self, call: Call, scope: Scope) -> Value:
        match call.name, call.arguments:
            case "try", arguments:
                return _first_that_works(arguments, scope)
            case "can", (argument,):
                return _works(argument, scope)
            case "convert", (argument, kind):
                value = evaluate(argument, scope)
                self.budget.value(value)
                return convert(value, parse_type(kind))
        arguments = _arguments(call, scope)
        known = standard_functions()
        if (standard := known.get(call.name)) is not None:
            return standard(call.name, arguments, self.budget)
        function = self._functions.get(call.name)
        if function is None:
            raise UnknownName(f"there is no function named `{call.name}`", call.name, [*known, *self._functions],
                              call.location)
        return self._call(function, call, arguments)

    def _call(self, function: _Function, call: Call, arguments: tuple[Value, ...]) -> Value:
        count = len(function.parameters)
        if len(arguments) < count or (len(arguments) > count and not function.rest):
            least = "at least " if function.rest else ""
            plural = "" if count == 1 else "s"
            raise ExpressionError(f"function `{call.name}` takes {least}{count} argument{plural}, not {len(arguments)}",
                                  location=call.location)
        names = dict(zip(function.parameters, arguments, strict=False))
        if function.rest:
            names[function.rest] = arguments[count:]
        result = function.block.body.get("result")
        assert result is not None, "checked when the function was defined"
        with self._resolving(f"function cycle not allowed for `{call.name}`", f"{call.name}()"):
            return evaluate(result.value, LocalScope(self, names))

    def _resolve(self, name: str) -> Value:
        definition = self._variables.get(name)
        attribute = self._attributes.get(name)
        if definition is None and attribute is None:
            known = [*self._values, *self._variables, *self._attributes]
            raise UnknownName(f"there is no variable named `{name}`", name, known)
        with self._resolving(f"variable cycle not allowed for `{name}`", name):
            if attribute is not None and definition is not None:
                definition = msgspec.structs.replace(definition, default=attribute.value, type=None)
            if definition is None:
                assert attribute is not None
                return evaluate(attribute.value, self)
            return variables.value_of(definition, self, self._lookup, self._is_defined)

    def _is_defined(self, name: str) -> bool:
        return name in self._variables or name in self._values

    @contextmanager
    def _resolving(self, complaint: str, name: str) -> Iterator[None]:
        if name in self._open:
            raise Cycle(complaint)
        self._open.append(name)
        try:
            yield
        finally:
            self._open.pop()

    # -- groups and targets ---------------------------------------------------------------------------------------

    def _named_instances(self) -> list[_Instance]:
        if self._instances is None:
            with self._resolving("the names of targets cannot depend on targets", "names"):
                instances: list[_Instance] = []
                for block in self._blocks:
                    instances += self._expand(block)
                    _check_count(len(instances), block.location)
                self._instances = instances
                self._by_name = {(each.block.type, each.name): each for each in instances}
        return self._instances

    def _expand(self, block: Block) -> list[_Instance]:
        name, matrix = block.body.get("name"), block.body.get("matrix")
        label = block.labels[0]
        check_name(label, block.location)
        if block.type == "group" and (given := matrix or name) is not None:
            raise BakeError(f"{given.name} is not supported for groups", location=given.location)
        if matrix is None:
            if name is not None:
                raise BakeError("name requires matrix", location=name.location)
            return [_Instance(block, label, self)]
        instances = []
        for names in _combinations(evaluate(matrix.value, self), matrix):
            scope = LocalScope(self, names)
            full = text_of(evaluate(name.value, scope)) if name is not None else label
            check_name(full, name.location if name is not None else block.location)
            instances.append(_Instance(block, full, scope))
        for full, count in Counter(instance.name for instance in instances).items():
            if count > 1:
                raise BakeError(f"duplicate name `{full}`", location=block.location,
                                hint="a `name` that uses every variable of the matrix keeps its targets apart")
        return instances

    def _reference(self, kind: str, path: tuple[str, ...]) -> Value:
        """`target.app.tags`, as far as the expression goes."""
        if not path:
            raise ExpressionError(f"cannot access {kind} as a variable", hint=f"write {kind}.NAME.ATTRIBUTE")
        instances = self._named_instances()
        found = self._by_name.get((kind, path[0]))
        if found is None:
            known = [each.name for each in instances if each.block.type == kind]
            raise UnknownName(f"there is no {kind} named `{path[0]}`", path[0], known)
        fields = FIELDS[kind]
        if len(path) > 1 and path[1] not in fields:
            raise UnknownName(f"a {kind} has no attribute `{path[1]}`", path[1], fields)
        names = path[1:2] or tuple(fields)
        return {path[0]: {name: self._seen(found, fields[name], name) for name in names}}

    def _seen(self, instance: _Instance, field: Field, name: str) -> Value:
        value = self._field(instance, name)
        return None if value is None else field.encode(value)

    def _all_fields(self, instance: _Instance) -> dict[str, Any]:
        fields = FIELDS[instance.block.type]
        for attribute in instance.block.body.attributes:
            if attribute.name not in fields and attribute.name not in _ONLY_IN_FILES:
                hint = did_you_mean(attribute.name, fields)
                self._notes.append(f"{attribute.location}: a {instance.block.type} has no argument "
                                   f"`{attribute.name}`, so it means nothing" + (f": {hint}" if hint else ""))
        values = {fields[name].attribute: self._field(instance, name) for name in fields}
        return {name: value for name, value in values.items() if value is not None}

    def _field(self, instance: _Instance, name: str) -> Any:
        if name in instance.fields:
            return instance.fields[name]
        if name in instance.open:
            raise Cycle(f"reference cycle not allowed for {instance.block.type}.{instance.name}.{name}")
        instance.open.add(name)
        try:
            attribute = instance.block.body.get(name)
            value = None if attribute is None else self._decode(instance, attribute)
        finally:
            instance.open.discard(name)
        instance.fields[name] = value
        return value

    def _decode(self, instance: _Instance, attribute: Attribute) -> Any:
        value = evaluate(attribute.value, instance.scope)
        if value is None:
            return None
        try:
            self.budget.value(value)
            return FIELDS[instance.block.type][attribute.name].decode(value)
        except LimitExceeded as error:
            raise error.at(attribute.value.location) from None
        except BakeError as error:
            raise BakeError(f"inappropriate value for `{attribute.name}`: {error.message}",
                            location=attribute.value.location, hint=error.hint) from None


def _combinations(value: Value, matrix: Attribute) -> list[dict[str, Value]]:
    if not isinstance(value, dict):
        raise BakeError("matrix must be a map", location=matrix.location)
    for name, items in value.items():
        if not isinstance(items, tuple):
            raise BakeError(f"matrix values must be a list, which `{name}` is not", location=matrix.location)
    names = sorted(value)
    _check_count(math.prod(len(value[name]) for name in names), matrix.location)
    return [dict(zip(names, items, strict=True)) for items in itertools.product(*(value[name] for name in names))]


def _check_count(count: int, location: Location) -> None:
    if count > MAX_TARGETS:
        raise LimitExceeded(f"the definition comes to more than {MAX_TARGETS:,} targets", location=location)


def _function(block: Block) -> _Function:
    body, name = block.body, block.labels[0]
    params, rest = body.get("params"), body.get("variadic_params")
    if body.get("result") is None or params is None:
        what = "params" if params is None else "result"
        raise BakeError(f"function `{name}` needs `{what}`", location=block.location)
    items = params.value.items if isinstance(params.value, TupleExpression) else None
    words = [*(items or ()), *([rest.value] if rest is not None else [])]
    if items is None or not all(isinstance(word, Variable) for word in words):
        raise BakeError("each parameter name must be an identifier", location=params.location)
    names = [word.name for word in words if isinstance(word, Variable)]
    return _Function(block, tuple(names[:len(items)]), names[-1] if rest is not None else "")


def _arguments(call: Call, scope: Scope) -> tuple[Value, ...]:
    values = [evaluate(argument, scope) for argument in call.arguments]
    if call.expand_last and values:
        last = values.pop()
        if not isinstance(last, tuple):
            raise ExpressionError("only a list can be expanded with `...`", location=call.arguments[-1].location)
        values.extend(last)
    return tuple(values)


def _works(argument: Any, scope: Scope) -> bool:
    try:
        evaluate(argument, scope)
    except ExpressionError:
        return False
    return True


def _first_that_works(arguments: Iterable[Any], scope: Scope) -> Value:
    complaint = "at least one argument is required"
    for argument in arguments:
        try:
            return evaluate(argument, scope)
        except ExpressionError as error:
            complaint = error.message
    raise ExpressionError(f"no expression of `try` succeeded; the last one: {complaint}")


def _deduplicated(group: Group) -> Group:
    return msgspec.structs.replace(group, targets=tuple(dict.fromkeys(group.targets)))

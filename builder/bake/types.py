"""Type constraints (`list(string)`, `object({a = number})`) and the conversion of values to them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from builder.bake.errors import BakeError, ExpressionError
from builder.bake.syntax import Call, Expression, Literal, ObjectExpression, TupleExpression, Variable
from builder.bake.values import SetValue, Value, bool_of, kind_of, number_of, text_of

PRIMITIVES = ("string", "number", "bool")
COLLECTIONS = ("list", "set", "map")


class Type(msgspec.Struct, frozen=True):
    kind: str
    """any, string, number, bool, list, set, map, tuple or object."""
    element: Type | None = None
    elements: tuple[Type, ...] = ()
    attributes: dict[str, Type] = {}
    optional: set[str] = set()
    """Attributes that may be missing; they are null then."""

    def __str__(self) -> str:
        """As cty calls it in constraints."""
        if self.element is not None:
            return f"{self.kind} of {self.element}"
        return "any type" if self.kind == "any" else self.kind


ANY = Type("any")
STRING = Type("string")


class ListValue(tuple[Value, ...]):
    """A list, all of whose elements have one type, known also where there are none; other tuples are HCL's tuples."""

    element: Type

    @classmethod
    def of(cls, items: Iterable[Value], element: Type) -> ListValue:
        made = cls(items)
        made.element = element
        return made


class InvalidType(BakeError):
    code = "bake-type"


def parse_type(expression: Expression) -> Type:
    """The type that an expression in `type = ...` names. Raises InvalidType."""
    match expression:
        case Variable(name="any"):
            return ANY
        case Variable(name=name) if name in PRIMITIVES:
            return Type(name)
        case Variable(name=name) if name in COLLECTIONS:
            raise InvalidType(f"the {name} type constructor requires one argument specifying the element type",
                              location=expression.location)
        case Call(name=name, arguments=(argument,)) if name in COLLECTIONS:
            return Type(name, element=parse_type(argument))
        case Call(name="tuple", arguments=(TupleExpression(items=items),)):
            return Type("tuple", elements=tuple(map(parse_type, items)))
        case Call(name="object", arguments=(ObjectExpression(items=items),)):
            return _object(items)
        case Call(name="optional"):
            raise InvalidType("`optional` is valid only as the type of an object's attribute",
                              location=expression.location)
        case Call(name=name) if name in (*COLLECTIONS, "tuple", "object"):
            raise InvalidType(f"the {name} type constructor takes one argument", location=expression.location)
        case Variable(name=name) | Call(name=name):
            raise InvalidType(f"`{name}` is not a type", location=expression.location,
                              hint="any, string, number, bool, list(T), set(T), map(T), tuple([T]), object({a = T})")
    raise InvalidType("a type is needed here", location=expression.location)


def _object(items: tuple[tuple[Expression, Expression], ...]) -> Type:
    attributes: dict[str, Type] = {}
    optional: set[str] = set()
    for key, value in items:
        if not isinstance(key, Literal) or not isinstance(key.value, str):
            raise InvalidType("the names of an object's attributes must be constant", location=key.location)
        if isinstance(value, Call) and value.name == "optional" and len(value.arguments) == 1:
            attributes[key.value] = parse_type(value.arguments[0])
            optional.add(key.value)
        else:
            attributes[key.value] = parse_type(value)
    return Type("object", attributes=attributes, optional=optional)


def convert(value: Value, wanted: Type) -> Value:
    """`value` as a value of the type. Raises ExpressionError."""
    if value is None or wanted.kind == "any":
        return value
    match wanted.kind:
        case "string":
            return text_of(value)
        case "number":
            return number_of(value)
        case "bool":
            return bool_of(value)
        case "list" | "set":
            assert wanted.element is not None
            if not isinstance(value, tuple):
                raise ExpressionError(f"{wanted} required, but this is {kind_of(value)}")
            each = common_type(value) if wanted.element.kind == "any" else wanted.element
            converted = [convert(item, each) for item in value]
            return SetValue.of(converted) if wanted.kind == "set" else ListValue.of(converted, each)
        case "map":
            assert wanted.element is not None
            if not isinstance(value, dict):
                raise ExpressionError(f"{wanted} required, but this is {kind_of(value)}")
            each = common_type(value.values()) if wanted.element.kind == "any" else wanted.element
            return {key: convert(item, each) for key, item in value.items()}
        case "tuple":
            if not isinstance(value, tuple) or len(value) != len(wanted.elements):
                raise ExpressionError(f"a tuple of {len(wanted.elements)} elements is required")
            return tuple(convert(item, each) for item, each in zip(value, wanted.elements, strict=True))
    return _convert_object(value, wanted)


def _convert_object(value: Value, wanted: Type) -> Value:
    if not isinstance(value, dict):
        raise ExpressionError(f"object required, but this is {kind_of(value)}")
    result = {}
    for name, each in wanted.attributes.items():
        if value.get(name) is not None:
            result[name] = convert(value[name], each)
        elif name in value or name in wanted.optional:
            result[name] = None
        else:
            raise ExpressionError(f"attribute `{name}` is required")
    return result


# -- one type for several values ---------------------------------------------------------------------------------------


def type_of(value: Value) -> Type:
    """The value's own type; null has any."""
    if value is None:
        return ANY
    if isinstance(value, SetValue):
        return Type("set", element=unified([type_of(item) for item in value]) or ANY)
    if isinstance(value, ListValue):
        return Type("list", element=value.element)
    if isinstance(value, tuple):
        return Type("tuple", elements=tuple(map(type_of, value)))
    if isinstance(value, dict):
        return Type("object", attributes={key: type_of(item) for key, item in value.items()})
    return Type(kind_of(value))


def common_type(values: Iterable[Value]) -> Type:
    """The type that the elements of a list have to have together. Raises ExpressionError where there is none."""
    kinds = [type_of(value) for value in values]
    common = unified(kinds)
    if common is None and kinds:
        raise ExpressionError("all elements must have the same type")
    return common or ANY


def unify(left: Value, right: Value) -> tuple[Value, Value]:
    """Both values of one type, as the two results of a conditional need it. Raises ExpressionError."""
    if left is None or right is None:
        return left, right
    common = unified([type_of(left), type_of(right)])
    if common is None:
        raise ExpressionError("the two results of a conditional must have one type, but these are "
                              f"{kind_of(left)} and {kind_of(right)}")
    return convert(left, common), convert(right, common)


def unified(types: Sequence[Type]) -> Type | None:
    """The type that values of all `types` can become: cty's UnifyUnsafe. None where there is none."""
    known = [each for each in types if each.kind != "any"]
    if not known or all(each == known[0] for each in known):
        return known[0] if known else ANY if types else None
    kinds = {each.kind for each in known}
    if kinds == {"object"}:
        return _unified_objects(known)
    if kinds == {"tuple"}:
        return _unified_tuples(known)
    if kinds >= {"object", "tuple"}:
        return None
    for wanted in sorted(known, key=_rank):
        if all(_converts(each, wanted) for each in known):
            return wanted
    return None


def _rank(kind: Type) -> bool:
    """Strings first, and lists of them: everything becomes a string."""
    return kind.kind != "string" if kind.element is None else _rank(kind.element)


def _unified_objects(types: Sequence[Type]) -> Type | None:
    names = types[0].attributes.keys()
    if any(each.attributes.keys() != names for each in types):
        element = unified([kind for each in types for kind in each.attributes.values()])
        return None if element is None else Type("map", element=element)
    found = {name: unified([each.attributes[name] for each in types]) for name in names}
    attributes = {name: kind for name, kind in found.items() if kind is not None}
    return Type("object", attributes=attributes) if len(attributes) == len(found) else None


def _unified_tuples(types: Sequence[Type]) -> Type | None:
    if any(len(each.elements) != len(types[0].elements) for each in types):
        element = unified([kind for each in types for kind in each.elements])
        return None if element is None else Type("list", element=element)
    found = [unified(row) for row in zip(*(each.elements for each in types), strict=True)]
    elements = tuple(kind for kind in found if kind is not None)
    return Type("tuple", elements=elements) if len(elements) == len(found) else None


def _converts(given: Type, wanted: Type) -> bool:
    """Whether values of a type can be others, as far as the types tell."""
    if "any" in (given.kind, wanted.kind) or given == wanted:
        return True
    if given.kind in PRIMITIVES and wanted.kind in PRIMITIVES:
        return "string" in (given.kind, wanted.kind)
    if wanted.kind in ("list", "set"):
        assert wanted.element is not None
        parts = given.elements if given.kind == "tuple" else (given.element,) if given.element is not None else None
        return parts is not None and given.kind != "map" and all(_converts(part, wanted.element) for part in parts)
    if wanted.kind == "map" and given.kind in ("map", "object"):
        assert wanted.element is not None
        values = given.attributes.values() if given.element is None else (given.element,)
        return all(_converts(part, wanted.element) for part in values)
    return False

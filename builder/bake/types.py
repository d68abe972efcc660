"""Type constraints (`list(string)`, `object({a = number})`) and the conversion of values to them."""

from __future__ import annotations

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
            converted = [convert(item, wanted.element) for item in value]
            return SetValue.of(converted) if wanted.kind == "set" else tuple(converted)
        case "map":
            assert wanted.element is not None
            if not isinstance(value, dict):
                raise ExpressionError(f"{wanted} required, but this is {kind_of(value)}")
            return {key: convert(item, wanted.element) for key, item in value.items()}
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


def unify(left: Value, right: Value) -> tuple[Value, Value]:
    """Both values of one type, as the two results of a conditional need it. Raises ExpressionError."""
    kinds = {kind_of(left), kind_of(right)}
    if len(kinds) == 1 or "null" in kinds or kinds <= {"tuple", "set"}:
        return left, right
    if "string" in kinds and kinds <= {"string", "number", "bool"}:
        return text_of(left), text_of(right)
    first, second = kind_of(left), kind_of(right)
    raise ExpressionError(f"the two results of a conditional must have one type, but these are {first} and {second}")

"""HCL text to a Body, over python-hcl2's grammar and parser.

Of that package only the syntax tree is taken: its own rendering to Python values leaves expressions as text. Every
expression is translated here, with its place, to the nodes of `syntax`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from builder.bake.errors import INSTALL_HINT, BakeError, BakeSyntaxError, ExpressionError
from builder.bake.syntax import (
    Attribute,
    Binary,
    Block,
    Body,
    Call,
    Conditional,
    Element,
    Expression,
    For,
    GetAttribute,
    Index,
    Literal,
    ObjectExpression,
    Splat,
    TupleExpression,
    Unary,
    Variable,
)
from builder.bake.templates import TemplateReader, heredoc_text, unescape
from builder.bake.values import number_literal
from builder.source import Location, Source, Span

if TYPE_CHECKING:
    from decimal import Decimal

    from lark import Token, Tree

_WORDS = {"true": True, "false": False, "null": None}
_DISCARDED = frozenset({"new_line_or_comment"})
_MAX_DEPTH = 200


class MissingHclParser(BakeError):
    code = "bake-extra-missing"

    def __init__(self) -> None:
        super().__init__("reading HCL needs the package `python-hcl2`",
                         hint=INSTALL_HINT)


def parse_hcl(source: Source) -> Body:
    """Raises BakeSyntaxError, and MissingHclParser where the optional package is not installed."""
    tree = _tree(source.text, source, Span(1, 1, 1, 1))
    return _Translator(source, Span(1, 1, 1, 1)).body(tree.children[0])


def parse_expression(text: str, place: Location) -> Expression:
    """The expression `text`, which begins at `place` (an interpolation in a here-document or in JSON)."""
    body = _tree(f"x = (\n{text}\n)", place.source, place.span).children[0]
    attributes = _Translator(place.source, place.span, fixed=True).body(body).attributes
    if len(attributes) != 1:
        raise BakeSyntaxError(f"invalid expression `{text.strip()}`", location=place)
    return attributes[0].value


def _tree(text: str, source: Source, span: Span) -> Tree[Token]:
    try:
        import hcl2
        from lark.exceptions import UnexpectedInput
    except ImportError as error:
        raise MissingHclParser() from error
    try:
        return hcl2.parses_to_tree(text)
    except UnexpectedInput as error:
        line, column = getattr(error, "line", -1), getattr(error, "column", -1)
        if text is source.text and line and line > 0:
            span = Span(line, max(column, 1), line, max(column, 1) + 1)
        raise BakeSyntaxError(_sentence(error), location=Location(source, span)) from None
    except RecursionError:
        raise BakeSyntaxError("the definition is nested too deeply", location=Location(source, span)) from None


def _sentence(error: Any) -> str:
    token = getattr(error, "token", None)
    if token is None:
        character = getattr(error, "char", "") or ""
        return f"invalid character `{character}`" if character.strip() else "invalid expression"
    if token.type == "$END":
        return "unexpected end of the file: a bracket, brace or quote is not closed"
    if token.type == "NL_OR_COMMENT":
        return "unexpected end of the line"
    return f"unexpected `{str(token).strip()}`"


class _Translator:
    """From one tree's nodes to ours; with `fixed` all of them are at `origin`."""

    def __init__(self, source: Source, origin: Span, *, fixed: bool = False) -> None:
        self._source = source
        self._origin = origin
        self._fixed = fixed
        self._depth = 0

    def place(self, node: Any) -> Location:
        meta = node if hasattr(node, "type") else node.meta
        if self._fixed or getattr(meta, "line", None) is None:
            return Location(self._source, self._origin)
        end = meta
        if meta is not node and getattr(node.children[-1], "data", "") in _DISCARDED and len(node.children) > 1:
            end = node.children[-2].meta if hasattr(node.children[-2], "meta") else node.children[-2]
        return Location(self._source, Span(meta.line, meta.column, end.end_line, end.end_column))

    # -- bodies ---------------------------------------------------------------------------------------------------

    def body(self, tree: Any) -> Body:
        attributes, blocks = [], []
        names: dict[str, Attribute] = {}
        for child in _children(tree):
            if child.data == "block":
                blocks.append(self._block(child))
                continue
            name, _, value = _children(child)
            attribute = Attribute(_word(name), self.expression(value), self.place(name))
            if (first := names.get(attribute.name)) is not None:
                raise BakeSyntaxError(f"the argument `{attribute.name}` was already set at {first.location}",
                                      location=attribute.location, hint="each argument may be set only once")
            names[attribute.name] = attribute
            attributes.append(attribute)
        return Body(tuple(attributes), tuple(blocks))

    def _block(self, tree: Any) -> Block:
        parts = _children(tree)
        head = [part for part in parts[:-1] if not _is_token(part, "LBRACE")]
        content = next(part for part in parts if getattr(part, "data", "") == "body")
        labels = [self._label(part) for part in head[1:] if part is not content and not _is_token(part, "RBRACE")]
        return Block(_word(head[0]), tuple(labels), self.body(content), self.place(head[0]))

    def _label(self, node: Any) -> str:
        if node.data != "string":
            return _word(node)
        value = self.expression(node)
        if not isinstance(value, Literal):
            raise BakeSyntaxError("a template is not allowed as the name of a block", location=self.place(node))
        return str(value.value)

    # -- expressions ----------------------------------------------------------------------------------------------

    def expression(self, node: Any) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise BakeSyntaxError("the expression is nested too deeply", location=self.place(node))
        try:
            return self._expression(node)
        finally:
            self._depth -= 1

    def _expression(self, node: Any) -> Expression:
        children, place = _children(node), self.place(node)
        match node.data:
            case "expr_term":
                inner = [child for child in children if not hasattr(child, "type")]
                return self.expression(inner[0])
            case "identifier" | "keyword":
                return Variable(name=str(children[0]), location=place)
            case "literal_value":
                return Literal(value=_WORDS[str(children[0])], location=place)
            case "int_lit" | "float_lit":
                return Literal(value=_number(str(children[0]), place), location=place)
            case "string":
                return self._string(children[1:-1], place)
            case "template_string":
                return Literal(value=unescape(str(children[0])[2:-2]), location=place)
            case "heredoc_template" | "heredoc_template_trim":
                text = heredoc_text(str(children[0]))
                return TemplateReader(place, parse_expression).read(text)
            case "tuple":
                items = [self.expression(child) for child in children if not hasattr(child, "type")]
                return TupleExpression(items=tuple(items), location=place)
            case "object":
                pairs = [self._pair(child) for child in children if not hasattr(child, "type")]
                return ObjectExpression(items=tuple(pairs), location=place)
            case "conditional":
                condition, yes, no = (self.expression(c) for c in children if not hasattr(c, "type"))
                return Conditional(condition=condition, yes=yes, no=no, location=place)
            case "binary_op":
                operator, right = _children(children[1])
                return Binary(operator=str(operator.children[0]).split()[-1], left=self.expression(children[0]),
                              right=self.expression(right), location=place)
            case "unary_op":
                return Unary(operator=str(children[0]), operand=self.expression(children[1]), location=place)
            case "function_call":
                return self._call(children, place)
            case "for_tuple_expr" | "for_object_expr":
                return self._for(children, place)
            case "get_attr_expr_term" | "index_expr_term":
                return self._step(self.expression(children[0]), children[1])
            case "attr_splat_expr_term" | "full_splat_expr_term":
                each: Expression = Element(location=place)
                for step in _children(children[1])[1:]:
                    each = self._step(each, step)
                return Splat(source=self.expression(children[0]), each=each, location=place)
        raise BakeSyntaxError("this expression is not supported", location=place)

    def _step(self, source: Expression, node: Any) -> Expression:
        place, parts = self.place(node), _children(node)
        if node.data == "get_attr":
            return GetAttribute(source=source, name=_word(parts[1]), location=place)
        if node.data == "short_index":
            position = Literal(value=_number(str(parts[1]), place), location=place)
            return Index(source=source, key=position, location=place)
        return Index(source=source, key=self.expression(parts[1]), location=place)

    def _pair(self, node: Any) -> tuple[Expression, Expression]:
        key, _, value = _children(node)
        inner = _children(key)[0]
        core = inner
        while core.data == "expr_term" and len(_children(core)) == 1:
            core = _children(core)[0]
        if core.data in ("identifier", "keyword", "literal_value"):
            return Literal(value=_word(core), location=self.place(core)), self.expression(value)
        return self.expression(inner), self.expression(value)

    def _call(self, children: list[Any], place: Location) -> Call:
        name = "::".join(_word(child) for child in children if getattr(child, "data", "") == "identifier")
        arguments = next((child for child in children if getattr(child, "data", "") == "arguments"), None)
        parts = _children(arguments) if arguments is not None else []
        return Call(name=name, location=place,
                    arguments=tuple(self.expression(part) for part in parts if not hasattr(part, "type")),
                    expand_last=any(_is_token(part, "ELLIPSIS") for part in parts))

    def _for(self, children: list[Any], place: Location) -> For:
        intro = _children(children[1])
        names = [_word(part) for part in intro if getattr(part, "data", "") == "identifier"]
        collection = next(part for before, part in pairwise(intro) if _is_token(before, "IN"))
        # An identifier as the collection is a term of its own, so that it is not among the names.
        condition = next((child for child in children if getattr(child, "data", "") == "for_cond"), None)
        results = [self.expression(child) for child in children[2:-1]
                   if not hasattr(child, "type") and child is not condition]
        return For(key=names[0] if len(names) > 1 else "", value=names[-1], collection=self.expression(collection),
                   result=results[-1], result_key=results[0] if len(results) > 1 else None,
                   group=any(_is_token(child, "ELLIPSIS") for child in children), location=place,
                   condition=self.expression(_children(condition)[1]) if condition is not None else None)

    # -- strings --------------------------------------------------------------------------------------------------

    def _string(self, parts: list[Any], place: Location) -> Expression:
        reader = TemplateReader(place, parse_expression)
        for part in parts:
            inner = part.children[0]
            if hasattr(inner, "type"):
                reader.add_text(_string_text(inner))
            elif inner.data == "interpolation":
                reader.add(self.expression(_children(inner)[1]))
            else:
                self._directive(reader, inner)
        return reader.finish()

    def _directive(self, reader: TemplateReader, node: Any) -> None:
        parts = _children(node)
        expressions = [self.expression(p) for p in parts if hasattr(p, "data") and p.data != "identifier"]
        names = [_word(part) for part in parts if getattr(part, "data", "") == "identifier"]
        strips = (_is_token(parts[1], "STRIP_MARKER"), _is_token(parts[-2], "STRIP_MARKER"))
        word = {"template_if_start": "if", "template_else": "else", "template_endif": "endif",
                "template_for_start": "for", "template_endfor": "endfor"}[node.data]
        reader.add_directive(word, names, expressions[0] if expressions else None, strips)


def _number(text: str, place: Location) -> int | Decimal:
    try:
        return number_literal(text)
    except ExpressionError as error:
        raise BakeSyntaxError(error.message, location=place) from None


def _string_text(token: Token) -> str:
    text = str(token)
    if token.type in ("ESCAPED_INTERPOLATION", "ESCAPED_DIRECTIVE"):
        text = text[1:]
    return unescape(text)


def _children(node: Any) -> list[Any]:
    return [child for child in node.children if getattr(child, "data", None) not in _DISCARDED and child is not None]


def _word(node: Any) -> str:
    return str(node) if hasattr(node, "type") else str(node.children[0])


def _is_token(node: Any, kind: str) -> bool:
    return getattr(node, "type", None) == kind

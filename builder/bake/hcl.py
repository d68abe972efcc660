"""HCL text to a Body: HCL's native syntax, read by recursive descent.

A parser of our own, because whether a newline ends something depends on what is open around it, and templates nest in
expressions and expressions in templates; no grammar on PyPI follows HCL there. The rules are hclsyntax':
https://github.com/hashicorp/hcl/blob/main/hclsyntax/spec.md
"""

from __future__ import annotations

from builder.bake import tokens as t
from builder.bake.cursor import Cursor
from builder.bake.errors import BakeSyntaxError, ExpressionError
from builder.bake.real import parse
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
from builder.bake.templates import Directive, Interpolation, Part, Text, template, unescape
from builder.source import Location, Source

_WORDS = {"true": True, "false": False, "null": None}
_MAX_DEPTH = 100
_PRECEDENCE = {"||": 1, "&&": 2, "==": 3, "!=": 3, ">": 4, ">=": 4, "<": 4, "<=": 4, "+": 5, "-": 5, "*": 6, "/": 6,
               "%": 6}


def parse_hcl(source: Source) -> Body:
    """Raises BakeSyntaxError."""
    return _Parser(t.Text.of(source)).file()


def parse_expression(text: str, place: Location) -> Expression:
    """The expression that a string at `place` holds, which may have many lines. Raises BakeSyntaxError."""
    return _Parser(t.Text(text, place, fixed=True), newlines=False).whole()


def parse_template(text: str, place: Location) -> Expression:
    """The template that a string at `place` holds. Raises BakeSyntaxError."""
    return _Parser(t.Text(text, place, fixed=True), bare=True).template(t.END)


class _Parser(Cursor):
    def __init__(self, text: t.Text, *, bare: bool = False, newlines: bool = True) -> None:
        super().__init__(text, t.scan(text, bare=bare), newlines=newlines)
        self._depth = 0

    # -- bodies ---------------------------------------------------------------------------------------------------

    def file(self) -> Body:
        body = self._body(t.END)
        self._take(t.END)
        return body

    def whole(self) -> Expression:
        expression = self.expression()
        self._take(t.END)
        return expression

    def _body(self, end: str) -> Body:
        attributes: dict[str, Attribute] = {}
        blocks: list[Block] = []
        while self._peek().kind != end:
            if self._skip(t.NEWLINE):
                continue
            name = self._take(t.NAME)
            if self._peek().kind == "=":
                self._attribute(name, attributes)
            else:
                blocks.append(self._block(name))
            if self._peek().kind != t.END:
                self._take(t.NEWLINE)
        return Body(tuple(attributes.values()), tuple(blocks))

    def _attribute(self, name: t.Token, known: dict[str, Attribute]) -> None:
        place = self._place(name)
        self._take("=")
        if (first := known.get(name.text)) is not None:
            raise BakeSyntaxError(f"the argument `{name.text}` was already set at {first.location}", location=place,
                                  hint="each argument may be set only once")
        known[name.text] = Attribute(name.text, self.expression(), place)

    def _block(self, name: t.Token) -> Block:
        place = self._place(name)
        labels: list[str] = []
        while (token := self._take(t.NAME, t.QUOTE, "{")).kind != "{":
            labels.append(token.text if token.kind == t.NAME else self._label())
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise BakeSyntaxError("blocks are nested too deeply", location=place)
        if self._peek().kind in (t.NEWLINE, "}"):
            body = self._body("}")
        else:
            attributes: dict[str, Attribute] = {}
            self._attribute(self._take(t.NAME), attributes)
            body = Body(tuple(attributes.values()))
        self._depth -= 1
        self._take("}")
        return Block(name.text, tuple(labels), body, place)

    def _label(self) -> str:
        label = ""
        while (token := self._read()).kind != t.END_QUOTE:
            if token.kind in (t.INTERPOLATION, t.DIRECTIVE):
                raise self._text.error("a template is not allowed as the name of a block", token.start)
            if token.kind != t.LITERAL:
                raise self._unexpected(token)
            label += self._literal(token, quoted=True)
        return label

    # -- expressions ----------------------------------------------------------------------------------------------

    def expression(self) -> Expression:
        start = self._peek()
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._text.error("the expression is nested too deeply", start.start)
        condition = self._operation(1)
        if self._skip("?"):
            yes = self.expression()
            self._take(":")
            condition = Conditional(condition=condition, yes=yes, no=self.expression(), location=self._place(start))
        self._depth -= 1
        return condition

    def _operation(self, least: int) -> Expression:
        start = self._peek()
        left = self._term_and_steps()
        while (precedence := _PRECEDENCE.get(self._peek().kind, 0)) >= least:
            operator = self._read().kind
            right = self._operation(precedence + 1)
            left = Binary(operator=operator, left=left, right=right, location=self._place(start))
        return left

    def _term_and_steps(self) -> Expression:
        return self._steps(self._term(), self._peek())

    def _steps(self, source: Expression, start: t.Token) -> Expression:
        while (token := self._peek()).kind in (".", "["):
            self._next += 1
            if self._skip("*"):
                if token.kind == "[":
                    self._take("]")
                    self._depth += 1
                    if self._depth > _MAX_DEPTH:
                        raise self._text.error("the expression is nested too deeply", token.start)
                    each = self._steps(Element(location=self._place(token)), start)
                    self._depth -= 1
                else:
                    each = self._attributes(Element(location=self._place(token)))
                source = Splat(source=source, each=each, location=self._place(token))
            elif token.kind == ".":
                source = self._named(source, token)
            else:
                with self._with_newlines(False):
                    key = self.expression()
                    self._take("]")
                source = Index(source=source, key=key, location=self._place(token))
        return source

    def _attributes(self, source: Expression) -> Expression:
        """What belongs to each element in `list.*.a.b`: names and numbers, but no brackets."""
        while (token := self._peek()).kind == ".":
            self._next += 1
            source = self._named(source, token)
        return source

    def _named(self, source: Expression, dot: t.Token) -> Expression:
        token = self._take(t.NAME, t.NUMBER)
        place = self._place(dot)
        if token.kind == t.NAME:
            return GetAttribute(source=source, name=token.text, location=place)
        if "." in token.text:
            raise BakeSyntaxError(f"`{token.text}` is no index", location=place, hint="write [0][1] for two of them")
        return Index(source=source, key=self._number(token), location=place)

    def _term(self) -> Expression:
        token = self._read()
        match token.kind:
            case t.NAME:
                if self._peek().kind in ("(", "::"):
                    return self._call(token)
                place = self._place(token)
                if token.text in _WORDS:
                    return Literal(value=_WORDS[token.text], location=place)
                return Variable(name=token.text, location=place)
            case t.NUMBER:
                return self._number(token)
            case t.QUOTE:
                return self.template(t.END_QUOTE)
            case t.HEREDOC:
                return self.template(t.END_HEREDOC, flush=token.text.startswith("<<-"))
            case "-" | "!":
                return self._unary(token)
            case "(":
                with self._with_newlines(False):
                    expression = self.expression()
                    self._take(")")
                return expression
            case "[" | "{":
                return self._collection(token)
        raise self._unexpected(token)

    def _unary(self, token: t.Token) -> Expression:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self._text.error("the expression is nested too deeply", token.start)
        operand = self._term_and_steps()
        self._depth -= 1
        return Unary(operator=token.kind, operand=operand, location=self._place(token))

    def _number(self, token: t.Token) -> Literal:
        place = self._text.place(token.start, token.end)
        try:
            return Literal(value=parse(token.text), location=place)
        except ExpressionError as error:
            raise BakeSyntaxError(error.message, location=place) from None

    def _call(self, name: t.Token) -> Call:
        words = [name.text]
        while self._skip("::"):
            words.append(self._take(t.NAME).text)
        self._take("(")
        arguments: list[Expression] = []
        expanded = False
        with self._with_newlines(False):
            while not self._skip(")"):
                arguments.append(self.expression())
                end = self._take(",", "...", ")")
                if end.kind != ",":
                    expanded = end.kind == "..."
                    if expanded:
                        self._take(")")
                    break
        return Call(name="::".join(words), arguments=tuple(arguments), expand_last=expanded, location=self._place(name))

    def _collection(self, start: t.Token) -> Expression:
        with self._with_newlines(False):
            if self._skip(t.NAME, "for"):
                return self._for(start)
        return self._tuple(start) if start.kind == "[" else self._object(start)

    def _tuple(self, start: t.Token) -> Expression:
        items: list[Expression] = []
        with self._with_newlines(False):
            while not self._skip("]"):
                items.append(self.expression())
                if self._take(",", "]").kind == "]":
                    break
        return TupleExpression(items=tuple(items), location=self._place(start))

    def _object(self, start: t.Token) -> Expression:
        pairs: list[tuple[Expression, Expression]] = []
        with self._with_newlines(True):
            while not self._skip("}"):
                if self._skip(t.NEWLINE):
                    continue
                key = self._key()
                self._take("=", ":")
                pairs.append((key, self.expression()))
                if self._take(",", t.NEWLINE, "}").kind == "}":
                    break
        return ObjectExpression(items=tuple(pairs), location=self._place(start))

    def _key(self) -> Expression:
        """A bare word is its own name; in parentheses it is a variable."""
        start = self._peek()
        key = self.expression()
        if start.kind != t.NAME:
            return key
        match key:
            case Variable() | Literal():
                return Literal(value=start.text, location=key.location)
            case GetAttribute():
                raise BakeSyntaxError("a key with dots is ambiguous", location=self._place(start),
                                      hint="write it in quotes, or in parentheses if it is a reference")
        return key

    def _for(self, start: t.Token) -> Expression:
        key, value = self._for_names()
        collection = self.expression()
        self._take(":")
        result_key, result, grouped = None, self.expression(), False
        if start.kind == "{":
            self._take("=>")
            result_key, result, grouped = result, self.expression(), self._skip("...")
        condition = self.expression() if self._skip(t.NAME, "if") else None
        self._take("}" if start.kind == "{" else "]")
        return For(key=key, value=value, collection=collection, result=result, result_key=result_key, group=grouped,
                   condition=condition, location=self._place(start))

    def _for_names(self) -> tuple[str, str]:
        key, value = "", self._take(t.NAME).text
        if self._skip(","):
            key, value = value, self._take(t.NAME).text
        if not self._skip(t.NAME, "in"):
            raise self._unexpected(self._peek())
        return key, value

    # -- templates ------------------------------------------------------------------------------------------------

    def template(self, end: str, *, flush: bool = False) -> Expression:
        start = self._tokens[max(self._next - 1, 0)]
        parts: list[Part] = []
        while (token := self._tokens[self._next]).kind != end:
            self._next += 1
            if token.kind == t.LITERAL:
                text = self._literal(token, quoted=end == t.END_QUOTE)
                parts.append(Text(text, self._text.place(token.start, token.end)))
            elif token.kind in (t.INTERPOLATION, t.DIRECTIVE):
                with self._with_newlines(False):
                    parts.append(self._sequence(token))
            else:
                raise self._unexpected(token)
        self._next += end != t.END
        return template(parts, self._place(start), flush=flush)

    def _sequence(self, opening: t.Token) -> Part:
        if opening.kind == t.INTERPOLATION:
            expression = self.expression()
            strips = self._strips(opening)
            return Interpolation(expression, self._place(opening), strips)
        word = self._take(t.NAME)
        names, subject = ("", ""), None
        match word.text:
            case "if":
                subject = self.expression()
            case "for":
                names = self._for_names()
                subject = self.expression()
            case "else" | "endif" | "endfor":
                pass
            case _:
                raise self._text.error(f"`{word.text}` is no template directive", word.start,
                                       "there are if, else, endif, for and endfor")
        strips = self._strips(opening)
        return Directive(word.text, names, subject, self._place(opening), strips)

    def _strips(self, opening: t.Token) -> tuple[bool, bool]:
        return opening.text.endswith("~"), self._take(t.END_SEQUENCE).text == "~}"

    def _literal(self, token: t.Token, *, quoted: bool) -> str:
        text = token.text
        if text[:3] in ("$${", "%%{"):
            return text[1:]
        if not quoted:
            return text
        try:
            return unescape(text)
        except ValueError as error:
            raise BakeSyntaxError(str(error), location=self._text.place(token.start, token.end)) from None

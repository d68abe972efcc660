"""From the text of a template to nodes."""

from __future__ import annotations

import re
from typing import Any, TypeAlias

import msgspec

from builder.golang.template.errors import TemplateError
from builder.golang.template.functions import FUNCTIONS


class Operand(msgspec.Struct, frozen=True, kw_only=True):
    """A value and the fields taken from it: `.A.B`, `$x.A`, `(f .).A`, `"text"`, `f`."""

    kind: str
    """dot, variable, literal, function or pipeline."""
    value: Any = None
    fields: tuple[str, ...] = ()
    column: int = 0
    text: str = ""


class Pipeline(msgspec.Struct, frozen=True, kw_only=True):
    commands: tuple[tuple[Operand, ...], ...]
    variables: tuple[str, ...] = ()
    declares: bool = True
    text: str = ""
    column: int = 0


class Output(msgspec.Struct, frozen=True):
    pipeline: Pipeline


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    """if, range or with."""

    keyword: str
    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...] = ()


class Jump(msgspec.Struct, frozen=True):
    keyword: str
    """break or continue."""


Node: TypeAlias = str | Output | Branch | Jump

_OPEN = re.compile(r"\{\{(- |-(?=\n))?")
_TOKEN = re.compile(r"""
    (?P<space>\s+) | (?P<close>-?\}\}) | (?P<comment>/\*.*?\*/)
  | (?P<string>"(?:[^"\\\n]|\\.)*") | (?P<raw>`[^`]*`) | (?P<number>[-+]?\d+(?:\.\d+)?(?![\w.]))
  | (?P<field>\.[^\W\d]\w*) | (?P<variable>\$\w*) | (?P<word>[^\W\d]\w*) | (?P<mark>:=|[=|(),.])
""", re.VERBOSE | re.DOTALL)
_ESCAPE = re.compile(r'\\(?:([abfnrtv\\"\'])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3}))')
_SINGLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CONSTANTS = {"true": True, "false": False, "nil": None}


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int
    """Offset in the template."""
    end: int
    spaced: bool
    """White space comes before it."""


def parse(template: str) -> tuple[Node, ...]:
    """Raises TemplateError."""
    return _Parser(template).parse()


class _Parser:
    def __init__(self, template: str) -> None:
        self.template = template
        self.pieces = self._split()
        self.tokens: list[_Token] = []
        self.variables = ["$"]
        self.loops = 0

    def parse(self) -> tuple[Node, ...]:
        body, end = self._nodes()
        if end is not None:
            raise self._error(f"unexpected {{{{{end[0].text}}}}}", end[0])
        return body

    def _split(self) -> list[str | list[_Token]]:
        """Texts and the tokens of actions, in turn; the white space that `{{-` and `-}}` eat is gone."""
        pieces: list[str | list[_Token]] = []
        at, trim = 0, False
        while (found := _OPEN.search(self.template, at)) is not None:
            text = self.template[at:found.start()]
            text = text.lstrip(" \t\r\n") if trim else text
            pieces.append(text.rstrip(" \t\r\n") if found[1] else text)
            tokens, at, trim = self._action(found.end())
            pieces.append(tokens)
        rest = self.template[at:]
        return [*pieces, rest.lstrip(" \t\r\n") if trim else rest]

    def _action(self, at: int) -> tuple[list[_Token], int, bool]:
        tokens: list[_Token] = []
        spaced = True
        while (found := _TOKEN.match(self.template, at)) is not None:
            kind, text, start, at = found.lastgroup or "", found[0], found.start(), found.end()
            if kind == "close":
                return tokens, at, text[0] == "-"
            if kind == "space":
                spaced = True
            elif kind != "comment":
                tokens.append(_Token(kind, text, start, at, spaced))
                spaced = False
        if at >= len(self.template):
            raise self._error("unclosed action", None, at)
        raise self._error(f"unexpected {self.template[at]!r} in operand", None, at)

    def _nodes(self) -> tuple[tuple[Node, ...], list[_Token] | None]:
        """Nodes up to `else`, `end` or the end of the template; the tokens of the action that ended them."""
        nodes: list[Node] = []
        while self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, str):
                nodes += [piece] if piece else []
            elif not piece:
                continue
            elif piece[0].text in ("else", "end"):
                return tuple(nodes), piece
            elif piece[0].text in ("if", "range", "with"):
                nodes.append(self._branch(piece[0].text, piece))
            elif piece[0].text in ("break", "continue"):
                if not self.loops:
                    raise self._error(f"{{{{{piece[0].text}}}}} outside {{{{range}}}}", piece[0])
                nodes.append(Jump(piece[0].text))
            else:
                self.tokens = piece
                nodes.append(Output(self._pipeline("command")))
        return tuple(nodes), None

    def _branch(self, keyword: str, tokens: list[_Token]) -> Branch:
        known = len(self.variables)
        self.tokens = tokens[1:]
        pipeline = self._pipeline(keyword)
        self.loops += keyword == "range"
        body, end = self._nodes()
        self.loops -= keyword == "range"
        otherwise: tuple[Node, ...] = ()
        if end is not None and end[0].text == "else":
            if len(end) > 1 and end[1].text in ("if", "with"):
                otherwise = (self._branch(end[1].text, end[1:]),)
                del self.variables[known:]
                return Branch(keyword=keyword, pipeline=pipeline, body=body, otherwise=otherwise)
            otherwise, end = self._nodes()
        if end is None:
            raise self._error("unexpected EOF", None, len(self.template))
        if end[0].text != "end":
            raise self._error("expected end; found {{else}}", end[0])
        del self.variables[known:]
        return Branch(keyword=keyword, pipeline=pipeline, body=body, otherwise=otherwise)

    def _pipeline(self, context: str) -> Pipeline:
        """The pipeline that the remaining tokens are, or that they begin with up to a closing parenthesis."""
        start = self.tokens[0].at if self.tokens else len(self.template)
        variables, declares = self._variables(context)
        commands = []
        while True:
            command = self._command()
            if not command:
                raise self._error(f"missing value for {context}", None, start)
            commands.append(command)
            if not self.tokens or self.tokens[0].text != "|":
                break
            self.tokens.pop(0)
        if self.tokens and context != "parenthesis":
            raise self._error(f"unexpected <{self.tokens[0].text}> in {context}", self.tokens[0])
        text = self.template[start:max(operand.column + len(operand.text) for operand in commands[-1])]
        if declares:
            self.variables += variables
        return Pipeline(commands=tuple(commands), variables=variables, declares=declares, text=text, column=start)

    def _variables(self, context: str) -> tuple[tuple[str, ...], bool]:
        """`$x :=`, `$x =`, and in a range `$i, $x :=`."""
        texts = [token.text for token in self.tokens[:4]]
        if len(texts) > 1 and self.tokens[0].kind == "variable" and texts[1] in (":=", "="):
            count = 1
        elif (context == "range" and len(texts) > 3 and self.tokens[0].kind == self.tokens[2].kind == "variable"
              and texts[1] == "," and texts[3] in (":=", "=")):
            count = 2
        else:
            return (), True
        names = tuple(texts[0:2 * count:2])
        declares = texts[2 * count - 1] == ":="
        for name in names:
            if not declares and name not in self.variables:
                raise self._error(f'undefined variable "{name}"', self.tokens[0])
        del self.tokens[:2 * count]
        return names, declares

    def _command(self) -> tuple[Operand, ...]:
        operands: list[Operand] = []
        while self.tokens and self.tokens[0].text not in ("|", ")"):
            operands.append(self._operand())
        return tuple(operands)

    def _operand(self) -> Operand:
        token = self.tokens.pop(0)
        kind: str
        value: Any
        fields: list[str] = []
        match token.kind:
            case "field":
                kind, value, fields = "dot", None, [token.text[1:]]
            case "variable":
                if token.text not in self.variables:
                    raise self._error(f'undefined variable "{token.text}"', token)
                kind, value = "variable", token.text
            case "string" | "raw" | "number":
                kind, value = "literal", _literal(token)
            case "word" if token.text in _CONSTANTS:
                kind, value = "literal", _CONSTANTS[token.text]
            case "word":
                if token.text not in FUNCTIONS:
                    raise self._error(f'function "{token.text}" not defined', token)
                kind, value = "function", token.text
            case _ if token.text == ".":
                kind, value = "dot", None
            case _ if token.text == "(":
                kind, value = "pipeline", self._pipeline("parenthesis")
                if not self.tokens or self.tokens.pop(0).text != ")":
                    raise self._error("unclosed left paren", token)
            case _:
                raise self._error(f"unexpected <{token.text}> in operand", token)
        end = token.end
        while self.tokens and self.tokens[0].kind == "field" and not self.tokens[0].spaced:
            end = self.tokens[0].end
            fields.append(self.tokens.pop(0).text[1:])
        return Operand(kind=kind, value=value, fields=tuple(fields), column=token.at, text=self.template[token.at:end])

    def _error(self, why: str, token: _Token | None, at: int = 0) -> TemplateError:
        line = self.template.count("\n", 0, token.at if token else at) + 1
        return TemplateError(f":{line}: {why}")


def _literal(token: _Token) -> Any:
    if token.kind == "raw":
        return token.text[1:-1]
    if token.kind == "number":
        return float(token.text) if "." in token.text else int(token.text)
    return _ESCAPE.sub(_unescaped, token.text[1:-1])


def _unescaped(found: re.Match[str]) -> str:
    if found[1]:
        return _SINGLE.get(found[1], found[1])
    code = int(found[5], 8) if found[5] else int(found[2] or found[3] or found[4], 16)
    return chr(code) if code < 0x110000 else "\ufffd"

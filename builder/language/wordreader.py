"""From the text of a word to its parts: the trees of `grammar/word.lark` as values."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import takewhile
from typing import TYPE_CHECKING

from builder.language.grammar import reader_of
from builder.language.wordparts import (
    Broken,
    Conditional,
    Double,
    Escaped,
    HeredocMark,
    OpenOperand,
    Part,
    Parts,
    Replaced,
    Single,
    Trimmed,
    Variable,
)

if TYPE_CHECKING:
    from lark import Token, Tree

_MAX_NESTING = 100
_NAME = re.compile(r"\$\{?(\d+|[@*#?$!-]|\w*)")
_NO_RUNE = "\ufffd"
"""What Go prints for the character after the last one."""
_NO_BRACE = "syntax error: missing '}'"
_NO_SLASH = "syntax error: missing '/' in ${}"


@lru_cache(maxsize=1024)
def read_word(text: str, escape: str) -> Parts:
    """The parts of a word whose escape character is `escape`. Never fails: what makes no sense is a part as well."""
    return _read(text, escape, "word")


def read_body(text: str) -> Parts:
    """The parts of a here-document's body: quotes mean nothing, the escape character is the backslash."""
    return _read(text, "\\", "body")


def _read(text: str, escape: str, start: str) -> Parts:
    text = text.removeprefix("\ufeff")
    return _Reader(len(text)).parts(reader_of("word", escape).read(text, start), 0)


class _Reader:
    def __init__(self, length: int) -> None:
        self._length = length

    def parts(self, tree: Tree[Token], depth: int) -> Parts:
        parts: list[Part] = []
        for child in tree.children:
            parts += [self._node(child, depth)] if not isinstance(child, str) else self._token(child)
        return tuple(parts)

    def _token(self, token: Token) -> list[Part]:
        match token.type:
            case "VARIABLE" if token.startswith("${"):
                name = _name(token)
                return [self._unsupported(token, name)] if name != token[2:-1] else [Variable(name, True)]
            case "VARIABLE":
                name = _name(token)
                rest = token[1 + len(name):]
                found: list[Part] = [Variable(name, False)] if name else ["$"]
                return [*found, rest] if rest else found
            case "ESCAPED" | "QESCAPED":
                return [Escaped(token[1:] if len(token) > 1 or token.type == "ESCAPED" else str(token))]
            case "SINGLE":
                return [Single(token[1:-1])]
            case "HEREDOC":
                return [HeredocMark(str(token))]
        return [str(token)]

    def _node(self, tree: Tree[Token], depth: int) -> Part:
        match tree.data:
            case "double":
                return Double(self.parts(tree, depth), True)
            case "open_double":
                return Double(self.parts(tree, depth), False)
            case "open_single":
                return Broken("unexpected end of statement while looking for matching single-quote", True)
            case "bad":
                return Broken("syntax error: bad substitution", False)
        token = tree.children[0]
        assert isinstance(token, str)
        name = _name(token)
        operator = token[2 + len(name):]
        if tree.data == "unclosed" and operator in ("", ":"):
            return Broken(_NO_BRACE, True)
        if tree.data == "unsupported":
            modifier = tree.children[1] if len(tree.children) > 1 else None
            if operator or modifier is None:
                return self._unsupported(token, name)
            assert isinstance(modifier, str)
            return Broken(f"unsupported modifier ({modifier}) in substitution", self._ends(modifier))
        if operator[:1] not in ("+", "-", "?", ":", "#", "%", "/"):
            return self._unsupported(token, name)
        operands = tuple(self._operand(child, token, depth + 1) for child in tree.children[1:]
                         if not isinstance(child, str))
        at_end = self._ends(tree.children[-1])
        match tree.data:
            case "conditional":
                return Conditional(name, operator, operands[0], at_end)
            case "trimmed":
                return Trimmed(name, operator, operands[0], at_end)
            case "replaced":
                return Replaced(name, operator == "//", operands[0], operands[1], at_end)
            case "open_conditional":
                return OpenOperand(operands, False, _NO_BRACE)
            case "open_pattern":
                return OpenOperand(operands, True, _NO_SLASH)
        return OpenOperand(operands, True, _NO_BRACE)

    def _operand(self, tree: Tree[Token], opening: Token, depth: int) -> Parts:
        if depth > _MAX_NESTING:
            return (Broken(f"substitutions are nested more than {_MAX_NESTING} deep", self._ends(opening)),)
        return self.parts(tree, depth)

    def _unsupported(self, token: Token, name: str) -> Broken:
        """The name ends before its terminal does: at a numeral that is neither a letter nor a decimal digit."""
        modifier = token[2 + len(name):3 + len(name)]
        start = token.start_pos or 0
        return Broken(f"unsupported modifier ({modifier or _NO_RUNE}) in substitution",
                      start + 2 + len(name) + len(modifier) == self._length)

    def _ends(self, node: Token | Tree[Token]) -> bool:
        return isinstance(node, str) and node.end_pos == self._length


def _name(token: Token) -> str:
    """The variable's name; `\\w` also knows numerals such as `²`, which no name holds."""
    match = _NAME.match(token)
    assert match is not None
    return match[1] if match[1].isascii() else "".join(takewhile(_is_of_name, match[1]))


def _is_of_name(char: str) -> bool:
    return char == "_" or char.isalpha() or char.isdecimal()

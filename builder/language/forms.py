"""The form of an instruction: keyword, flags and arguments, before anyone asks what they mean.

`read_form` runs the Lark grammar over a logical line and turns its tree into a Form. Errors here are the few that
concern the form itself; they also count for the triggers of ONBUILD, whose meaning is nobody's business yet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from builder.errors import DockerfileError
from builder.golang.quote import quote
from builder.golang.space import BLANK, SPACE
from builder.language.grammar import reader_of
from builder.language.instructions import Pair
from builder.language.lines import LogicalLine
from builder.source import Location

if TYPE_CHECKING:
    from lark import Token, Tree

_SURROGATES = re.compile("[\ud800-\udfff]")
_JSON_KEYWORDS = frozenset({"add", "cmd", "copy", "entrypoint", "healthcheck", "run", "shell", "volume"})
_FIRST_BLANKS = re.compile(f"[{BLANK}]+")


class NotStrings(DockerfileError):
    code = "json-not-strings"

    def __init__(self, location: Location) -> None:
        super().__init__("when using JSON array syntax, arrays must be comprised of strings only", location=location)


class MissingEquals(DockerfileError):
    code = "missing-equals"

    def __init__(self, word: str, location: Location) -> None:
        super().__init__(f"syntax error - can't find = in {quote(word)}. Must be of the form: name=value",
                         location=location)


class MissingValue(DockerfileError):
    code = "missing-value"

    def __init__(self, keyword: str, location: Location) -> None:
        super().__init__(f"{keyword} must have two arguments", location=location)


class Word(msgspec.Struct, frozen=True):
    text: str
    start: int
    """Offsets in the logical line, of the text as written."""
    end: int


class Form(msgspec.Struct, frozen=True, kw_only=True):
    line: LogicalLine
    keyword: str
    """As written."""
    start: int
    end: int
    """Of the whole instruction."""
    flags: tuple[Word, ...] = ()
    """As written, quotes and escapes included."""
    arguments: tuple[Word, ...] = ()
    """The words; one word where the rest of the line is one argument; the strings of an exec form."""
    is_json: bool = False
    pairs: tuple[Pair, ...] = ()
    """Of ENV and LABEL, instead of arguments."""
    trigger: Form | None = None
    escape: str = "\\"

    @property
    def name(self) -> str:
        return self.keyword.lower()

    def location(self, word: Word | None = None) -> Location:
        """The place of `word`; without one, of the instruction."""
        return self.line.location(word.start, word.end) if word else self.line.location(self.start, self.end)

    def keyword_location(self) -> Location:
        return self.line.location(self.start, self.start + len(self.keyword))


def read_form(line: LogicalLine, escape: str) -> Form:
    """The form of an instruction. Raises NotStrings, MissingEquals, MissingValue."""
    text = line.text.rstrip(SPACE)
    if not text:
        return Form(line=line, keyword="", start=0, end=0)
    from lark import Tree

    tree = reader_of("instruction", escape).read(text, "start").children[0]
    assert isinstance(tree, Tree)
    forms = [_bare_form(line, text, tree, escape)]
    while tree.data == "onbuild" and isinstance(tree.children[-1], Tree):
        tree = tree.children[-1]
        forms.append(_bare_form(line, text, tree, escape))
    form = _finished(forms.pop(), text)
    while forms:
        form = msgspec.structs.replace(forms.pop(), trigger=form)
    return form


def _bare_form(line: LogicalLine, text: str, tree: Tree[Token], escape: str) -> Form:
    """The tree's own tokens; a JSON array is still one word."""
    keyword, *rest = [child for child in tree.children if isinstance(child, str)]
    words = [Word(str(token), token.start_pos or 0, token.end_pos or 0) for token in rest]
    flags = sum(token.type == "FLAG" for token in rest)
    return Form(line=line, keyword=str(keyword), start=keyword.start_pos or 0, end=len(text), escape=escape,
                flags=tuple(words[:flags]), arguments=tuple(words[flags:]),
                is_json=bool(rest) and rest[-1].type == "EXEC")


def _finished(form: Form, text: str) -> Form:
    """With the strings of a JSON array, or the pairs of ENV and LABEL."""
    if not form.arguments:
        return form
    if form.is_json:
        *before, array = form.arguments
        strings = [Word(string, array.start, array.end) for string in _strings(array.text)]
        return msgspec.structs.replace(form, arguments=(*before, *strings))
    if form.name in ("env", "label"):
        return msgspec.structs.replace(form, arguments=(), pairs=_pairs(form, text))
    if form.name in _JSON_KEYWORDS:
        operand = form.arguments[1 if form.name == "healthcheck" else 0:][:1]
        if operand and _is_array(text[operand[0].start:]):
            raise NotStrings(form.line.location(operand[0].start, len(text)))
    return form


def _pairs(form: Form, text: str) -> tuple[Pair, ...]:
    """`key=value ...`; or, if the first word has no `=`, the old form with one key and the rest of the line."""
    words = form.arguments
    if "=" not in words[0].text:
        parts = _FIRST_BLANKS.split(text[words[0].start:], maxsplit=1)
        if len(parts) < 2:
            raise MissingValue(form.name.upper(), form.location())
        return (Pair(parts[0], parts[1], legacy=True),)
    pairs = []
    for word in words:
        key, equals, value = word.text.partition("=")
        if not equals:
            raise MissingEquals(word.text, form.location(word))
        pairs.append(Pair(key, value))
    return tuple(pairs)


def _strings(array: str) -> list[str]:
    """The strings of a JSON array that the grammar has accepted."""
    try:
        return msgspec.json.decode(array, type=list[str])
    except (msgspec.DecodeError, UnicodeEncodeError):
        import json  # half a surrogate pair: Go puts U+FFFD in its place

        return [_SURROGATES.sub("\ufffd", string) for string in json.loads(array)]


def _is_array(text: str) -> bool:
    """Whether `text` is a JSON array; if it reached this point, then not one of strings."""
    if not text.startswith("["):
        return False
    try:
        return isinstance(msgspec.json.decode(text), list)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False

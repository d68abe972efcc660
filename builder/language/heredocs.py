"""Here-documents: `<<NAME`, `<<-NAME`, `<<"NAME"` as words of a RUN, COPY or ADD."""

from __future__ import annotations

import re

from builder.language.instructions import Heredoc
from builder.language.words import ExpansionError, Words

_HEREDOC = r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z"
_LINE = Words(raw_quotes=True, raw_escapes=True, skip_unset=True)
_NAME = Words(skip_unset=True)
_RAW_NAME = Words(raw_quotes=True, skip_unset=True)


def parse_heredoc(word: str) -> Heredoc | None:
    """The here-document that `word` asks for, without content; None if it is an ordinary word.

    Its escape character is the backslash whatever the file's is. Raises ExpansionError where quotes do not match.
    """
    match = re.match(_HEREDOC, word)
    if match is None or not match[3]:
        return None
    names = _NAME.expand_many(match[3], {})
    if len(names) != 1:
        return None
    name = names[0]
    raw = _RAW_NAME.expand_many(match[3], {})
    if len(raw) != 1:
        raise ExpansionError(word, "the name of a here-document must be one word")
    quoted = _quotes(name) != _quotes(raw[0])
    descriptor = int(match[1]) if 0 < len(match[1]) < 10 else 0
    return Heredoc(name=name, content="", expand=not quoted, chomp=match[2] == "-", file_descriptor=descriptor)


def heredoc_or_word(word: str) -> Heredoc | None:
    """`parse_heredoc`, with a malformed one taken for an ordinary word."""
    try:
        return parse_heredoc(word)
    except ExpansionError:
        return None


def heredocs_in(line: str) -> list[Heredoc]:
    """The here-documents of a whole instruction, in order. Raises ExpansionError.

    A line whose quotes or substitutions do not make sense has none: the shell will say what it thinks of it.
    """
    if "<<" not in line:
        return []
    try:
        words = _LINE.expand_many(line, {})
    except ExpansionError:
        return []
    return [heredoc for word in words if (heredoc := parse_heredoc(word)) is not None]


def _quotes(text: str) -> int:
    return text.count("'") + text.count('"')

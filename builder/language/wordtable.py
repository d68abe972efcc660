"""The words of a file, read once: what planning evaluates needs no grammar then."""

from __future__ import annotations

from collections.abc import Iterable

from builder.language.expanded import expanded_texts, step_label
from builder.language.instructions import Add, Copy, Run, Statement, Workdir
from builder.language.wordparts import Parts, WordTable, is_plain
from builder.language.wordreader import read_body, read_word


def word_table(statements: Iterable[Statement], escape: str) -> WordTable:
    """The parts of all words of these instructions that planning will evaluate."""
    words: dict[str, Parts] = {}
    bodies: dict[str, Parts] = {}
    for statement in statements:
        for text in expanded_texts(statement.instruction):
            if text not in words and not is_plain(text, escape):
                words[text] = read_word(text, escape)
        label = step_label(statement)
        if label not in words and isinstance(statement.instruction, Run | Copy | Add | Workdir) and (
                "$" in label or escape in label):
            words[label] = read_word(label, escape)
        if isinstance(statement.instruction, Copy | Add):
            for heredoc in statement.instruction.heredocs:
                if heredoc.expand and not is_plain(body := heredoc.body, "\\"):
                    bodies[body] = read_body(body)
    return WordTable(words, bodies)

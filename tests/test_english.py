"""Words that no native engineer would use, in code, help, messages and docs: what to write instead."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
INSTEAD = {
    r"mend(s|ing|ed(?! = |[\"`]))?": "fix, repair",
    r"who(so)?ever": "the reader, the caller, the owner ...",
    r"(is|are|was|were|to be) told(?! (apart|from))": "is called with, is notified, report",
    r"elsewhere": "remote, in another layer ...",
    r"proven": "verified",
    r"unseen": "unread",
    r"caches elsewhere": "remote caches",
    r"what is not there": "missing files",
    r"broke off": "was interrupted",
    r"there are auto": "choose one of",
}
"""Pattern of a word, and what the field says. `mended` stays as the stored state of a step that a person finished."""
FILES = sorted(path for pattern in ("builder/**/*.py", "grammar/*.lark", "docs/*.md", "README.md")
               for path in ROOT.glob(pattern))


@pytest.mark.parametrize("pattern", INSTEAD)
def test_words_that_slow_a_reader(pattern: str) -> None:
    word = re.compile(rf"\b{pattern}\b", re.IGNORECASE)
    found = [f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
             for path in FILES for number, line in enumerate(path.read_text().splitlines(), 1) if word.search(line)]
    assert not found, f"write {INSTEAD[pattern]} instead:\n" + "\n".join(found)

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.lint.shellcommands import ShellCommand, commands_in


@pytest.mark.parametrize(("text", "words"), [
    ("a b && c || d; e & f", [["a", "b"], ["c"], ["d"], ["e"], ["f"]]),
    ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
    ("A=1 B+=2 make -j4", [["make", "-j4"]]),
    ("a \\\n  b\nc", [["a", "b"], ["c"]]),
    ("a >x 2>&1 </dev/null b &>>y", [["a", "b"]]),
    ("a # b && c\nd", [["a"], ["d"]]),
    ("a#b", [["a#b"]]),
    ("if ! a; then b; elif c; else d; fi", [["a"], ["b"], ["c"], ["d"]]),
    ("for i in x y; do echo $i; done", [["for", "i", "in", "x", "y"], ["echo", "$i"]]),
    ("case $x in a) b ;; *) c ;; esac", [["case", "$x", "in", "a"], ["b"], ["*"], ["c"]]),
    ("(a; b) && { c; }", [["a"], ["b"], ["c"]]),
    ("x=$(a | b) c \"$(d 'e)')\" `f`", [["c", "$(d 'e)')", "`f`"], ["a"], ["b"], ["d", "e)"], ["f"]]),
    ("a $((1 + 2)) ${b:-c d}", [["a", "$((1 + 2))", "${b:-c d}"]]),
    ("", []), ("   ", []), ("'", [[""]]), ("a $(", [["a", "$("]]), ("a \"$(b", [["a", '$(b'], ["b"]]),
])
def test_words(text: str, words: list[list[str]]) -> None:
    assert [list(command.words) for command in commands_in(text)] == words


def test_pipes() -> None:
    assert [command.is_piped for command in commands_in("a | b |& c || d")] == [True, True, False, False]


def test_options() -> None:
    command = ShellCommand(("/usr/bin/apt-get", "-qqy", "install", "--option=x", "curl"))
    assert command.name == "apt-get"
    assert command.operands == ("install", "curl")
    assert command.has("-y") and command.has("--option") and not command.has("-z") and not command.has("--opt")


@given(st.text(alphabet="ab '\"\\$`(){};|&<>#\n=", max_size=40))
def test_any_text_is_read_to_its_end(text: str) -> None:
    assert all(command.words for command in commands_in(text))

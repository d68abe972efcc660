"""`builder fmt`: what is changed, and that nothing is that means anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import DockerfileErrors
from builder.language.format import format_dockerfile, meaning
from builder.language.parser import parse
from builder.source import Source

TESTDATA = Path(__file__).parents[2] / "testdata"
CHANGED = [
    ("from scratch as x", "FROM scratch AS x\n"),
    ("  RUN\ta", "RUN a\n"),
    ("run  --mount=type=tmpfs,target=/x \t --network=none   a   b",
     "RUN --mount=type=tmpfs,target=/x --network=none a   b\n"),
    ("COPY a b /c   \nUSER\t x", "COPY a b /c\nUSER x\n"),
    ("RUN a \\  \n  b  \\\t\n\n\n  c   ", "RUN a \\\n  b  \\\n\n\n  c\n"),
    ("COPY a \\\n  b \\\n        /c", "COPY a \\\n  b \\\n  /c\n"),
    ("COPY a \\\n b \\\n   /c", "COPY a \\\n    b \\\n    /c\n"),
    ("RUN a \\\n\tb\nCOPY a \\\n  b /c", "RUN a \\\n\tb\nCOPY a \\\n\tb /c\n"),
    ("RUN --mount=type=ssh \\\n --network=none \\\n a \\\n  b",
     "RUN --mount=type=ssh \\\n  --network=none \\\n a \\\n  b\n"),
    ("CMD [ \\\n\"a\", \\\n  # c\n\"b\" \\\n  ]", "CMD [ \\\n  \"a\", \\\n  # c\n  \"b\" \\\n]\n"),
    ("healthcheck --interval=1s  cmd a", "HEALTHCHECK --interval=1s CMD a\n"),
    ("HEALTHCHECK none", "HEALTHCHECK NONE\n"),
    ("# comment  \n\n\n\nUSER x\n\n\n", "# comment\n\nUSER x\n"),
    ("copy <<EOF   <<B /x  \n a  \nEOF\n b\nB", "COPY <<EOF   <<B /x\n a  \nEOF\n b\nB\n"),
    ("CMD a \\\r\n b\r\nUSER x\r\n", "CMD a \\\n b\nUSER x\n"),
    ("onbuild  run a", "ONBUILD run a\n"),
]
KEPT = [
    "RUN a  &&   b\n", "RUN a \\\n      b \\\n   # c\n  d\n", "RUN echo 'a \\\n   b'\n", "ENV A=\"x \\\n   y\"\n",
    "RUN <<EOF\n  a  \n\tb\n\nEOF\n", "ENV a  b   c\n", "LABEL a=b   c=d\n", "ONBUILD run  a\n", "MAINTAINER a   b\n",
    "  # indented comments describe something else\nUSER x\n", "RUN --mount='type=tmpfs,target=/a b'  c\n",
]


def formatted(text: str) -> str:
    return format_dockerfile(parse(Source("Dockerfile", text)))


@pytest.mark.parametrize(("before", "after"), CHANGED)
def test_changed(before: str, after: str) -> None:
    top = "" if "from" in before else "FROM scratch\n"
    assert formatted(top + before) == top + after
    assert meaning(parse(Source("", top + before))) == meaning(parse(Source("", top + after)))


@pytest.mark.parametrize("text", KEPT)
def test_kept(text: str) -> None:
    assert formatted(f"FROM scratch\n{text}") == f"FROM scratch\n{text}"


def test_carriage_returns_of_a_here_document_are_its_content() -> None:
    assert formatted("FROM scratch\r\nCOPY <<E /x\r\na\r\nE\r\n") == "FROM scratch\nCOPY <<E /x\na\r\nE\r\n"


def test_the_top_of_a_file() -> None:
    assert formatted("\n\nFROM scratch") == "FROM scratch\n"
    assert formatted("#escape=`\n\n\n#syntax=x\nFROM scratch") == "#escape=`\n\n#syntax=x\nFROM scratch\n"
    assert formatted("\n\n# escape=`\nFROM scratch\nRUN a \\\n b") == "\n# escape=`\nFROM scratch\nRUN a \\\n b\n"
    assert formatted("\ufefffrom scratch") == "\ufeffFROM scratch\n"


def check_round_trip(text: str) -> None:
    try:
        dockerfile = parse(Source("Dockerfile", text))
    except DockerfileErrors:
        return
    once = format_dockerfile(dockerfile)
    again = parse(Source("Dockerfile", once))
    assert meaning(again) == meaning(dockerfile)
    assert format_dockerfile(again) == once


@pytest.mark.parametrize("path", sorted(TESTDATA.rglob("Dockerfile")),
                         ids=lambda path: str(path.relative_to(TESTDATA).parent))
def test_round_trip(path: Path) -> None:
    check_round_trip(path.read_bytes().decode("utf-8", "replace"))


LINES = st.sampled_from([
    "# escape=`", "# syntax=x", "# comment", "  # comment", "#", "", "   ", "FROM scratch", "from x as Y",
    "FROM --platform=a b", "ARG a", "arg  a=1 b='c d'", "RUN a", " run --mount=type=cache,target=/x  a \\", "RUN a `",
    "  b && c \\", "\tb", "RUN <<EOF", "COPY <<A <<-B /x", "EOF", "A", "\tB", "B", "ENV a b  c", "ENV a=\"b \\",
    "c\" d=e", "LABEL a='b \\", "c'", "CMD [\"a\", \\", "\"b\"]", "]", "cmd a", "HEALTHCHECK  cmd a",
    "onbuild run  a", "ONBUILD COPY <<EOF /x", "EXPOSE 80  81/TCP", "USER x  ", "WORKDIR /a\\", "VOLUME [ \"/a\" ]",
    "a\\ ", "\\", "\\\\", "é",
])
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "  \n", "\t\n"])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(LINES, ENDS), max_size=12))
def test_round_trip_of_anything(lines: list[tuple[str, str]]) -> None:
    text = "".join(line + end for line, end in lines)
    check_round_trip(text)
    check_round_trip(f"FROM scratch\n{text}")


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="RUN ENVCOPY <E=\"'\\\n\t#[,]ax`-$", max_size=60))
def test_round_trip_of_noise(text: str) -> None:
    check_round_trip(f"FROM scratch\n{text}")

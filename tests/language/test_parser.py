"""The parser beyond its cases: places, spans, triggers, and files that nobody would write."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import DockerfileError, DockerfileErrors
from builder.language.instructions import Arg, ArgPair, Cmd, Copy, Env, ExecForm, Heredoc, Onbuild, Pair, Run, ShellForm
from builder.language.parser import parse, parse_instruction
from builder.source import Source, Span


def _parse(text: str) -> list[object]:
    """The instructions of the only stage, FROM left out."""
    (stage,) = parse(Source("Dockerfile", text)).stages
    return [statement.instruction for statement in stage.body]


def _errors(text: str) -> tuple[DockerfileError, ...]:
    with pytest.raises(DockerfileErrors) as caught:
        parse(Source("Dockerfile", text))
    return caught.value.errors


def test_spans_and_texts() -> None:
    dockerfile = parse(Source("Dockerfile", "FROM scratch\n\n  run a \\\n # x\n b\nCOPY <<E /x\nbody\nE\n"))
    run, copy = dockerfile.stages[0].body
    assert (run.keyword, run.text, run.span) == ("run", "a  b".join(["run ", ""]), Span(3, 3, 5, 3))
    assert (copy.keyword, copy.text, copy.span) == ("COPY", "COPY <<E /x", Span(6, 1, 8, 2))


def test_a_mistake_is_found_in_the_line_that_it_is_in() -> None:
    (error,) = _errors("FROM scratch\nCOPY \\\n  # note\n  a \\\n\t<<E\nE\n")
    assert error.location is not None
    assert error.location.span == Span(5, 2, 5, 5)
    assert error.notes == ("in the instruction that begins on line 2",)


def test_columns_behind_a_byte_order_mark() -> None:
    (error,) = _errors("\ufeffFORM x\nFROM scratch\n")
    assert error.location is not None
    assert error.location.span == Span(1, 2, 1, 6)
    assert error.location.source.text[error.location.span.column - 1:][:4] == "FORM"


def test_all_errors_in_order_but_no_flood() -> None:
    assert len(_errors("FROM scratch\n" + "FROB\n" * 5000)) == 100


def test_a_broken_from_is_not_also_a_missing_one() -> None:
    assert [error.code for error in _errors("FROM a b\nRUN x\nENV y z\n")] == ["arguments"]


@pytest.mark.parametrize(("text", "instruction"), [
    ("RUN make", Run(command=ShellForm("make"))),
    ("COPY --from=x a /b", Copy(sources=("a",), destination="/b", from_="x")),
    ("RUN <<A\nx\nA", Run(command=ShellForm("<<A", (Heredoc(name="A", content="x\n", expand=True, chomp=False),),
                                          is_script=True))),
    ("# comment\nARG a", Arg(pairs=(ArgPair("a", None),))),
])
def test_triggers(text: str, instruction: object) -> None:
    assert parse_instruction(text).instruction == instruction


@pytest.mark.parametrize(("text", "code"), [
    ("", "no-instructions"),
    ("RUN a\nRUN b", "several-triggers"),
    ("FROM scratch", "forbidden-trigger"),
    ("FROB", "unknown-instruction"),
    ("COPY a", "arguments"),
])
def test_invalid_triggers(text: str, code: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_instruction(text)
    assert caught.value.code == code
    assert caught.value.location is not None
    assert caught.value.location.source.name == "ONBUILD"


def test_an_onbuild_expression_means_its_trigger() -> None:
    for text in ("COPY --chown=a b c", "RUN <<-A cat <<B\n\tx\nA\ny\nB", "ENV a b c", "CMD [\"x\"]"):
        (onbuild,) = _parse(f"FROM scratch\nONBUILD {text}\n")
        assert isinstance(onbuild, Onbuild)
        assert onbuild.expression == text
        assert onbuild.trigger == parse_instruction(text).instruction


LONG = 50_000


@pytest.mark.parametrize("text", [
    "RUN a \\\n" + "  b \\\n" * LONG + "c\n",
    "RUN a \\\n" + "\n" * LONG + "c\n",
    "ENV " + "a=b \\\n" * LONG + "c=d\n",
    "CMD [ " + '"abc", \\\n' * LONG + '"x" ]\n',
    "CMD [ " + '"abc", \\\n' * LONG + '"x"\n',
    "COPY " + "a \\\n" * LONG + "/x/\n",
    "RUN " + "--mount=target=/x \\\n" * (LONG // 4) + "x\n",
    "CMD " + "[" * 60_000 + "\n",
    "CMD " + "[" * 30_000 + "]" * 30_000 + "\n",
    "ENV a=" + '"\\' * 30_000 + "\n",
    "RUN --mount=" + "'\\'" * 20_000 + "\n",
    "ONBUILD " * 8_000 + "\n",
    "RUN <<E\n" + "x\n" * LONG + "E\n",
    "# x\n" * LONG,
    "RUN " + "${a:-" * 10_000 + "<<E\nE\n",
], ids=lambda text: f"{text[:12]!r} {len(text)}")
def test_time_grows_with_the_length_only(text: str) -> None:
    start = time.perf_counter()
    try:
        parse(Source("Dockerfile", "FROM scratch\n" + text))
    except DockerfileErrors as error:
        assert error.errors
    assert time.perf_counter() - start < 10


def test_the_longest_line() -> None:
    assert _parse("FROM scratch\nRUN " + "x" * 65_531) == [Run(command=ShellForm("x" * 65_531))]
    assert [error.code for error in _errors("FROM scratch\nRUN " + "x" * 65_532)] == ["line-too-long"]
    assert [error.code for error in _errors("FROM scratch\nRUN " + "ä" * 33_000)] == ["line-too-long"]


@settings(deadline=None)  # the first example loads the grammar
@given(st.text(alphabet="RUNCOPYENVFROM scratch\n\\`#<E-=[]\"',$\t\r\ufeff\xa0", max_size=60))
def test_every_text_is_a_dockerfile_or_an_error_with_a_place(text: str) -> None:
    for beginning in ("", "FROM scratch\n", "FROM scratch\nRUN ", "FROM scratch\nCOPY ", "FROM scratch\nENV a="):
        source = Source("Dockerfile", beginning + text)
        try:
            parse(source)
        except DockerfileErrors as caught:
            for error in caught.errors:
                assert error.location is not None
                assert 1 <= error.location.span.line <= source.text.count("\n") + 1


WORDS = st.text(alphabet=st.characters(exclude_categories=("Z", "C"), exclude_characters="\\\"'<["), min_size=1,
                max_size=8)
BLANKS = st.sampled_from([" ", "  ", "\t", " \\\n  ", "\\\n# comment\n "])


@st.composite
def _instructions(draw: st.DrawFn) -> tuple[str, object]:
    """An instruction, written in one of many ways."""
    blank = draw(BLANKS)
    words = draw(st.lists(WORDS.filter(lambda word: not word.startswith(("--", "#"))), min_size=2, max_size=4))
    match draw(st.sampled_from(["copy", "exec", "env", "run"])):
        case "copy":
            chown = draw(WORDS.filter(lambda word: "=" not in word))
            copy = Copy(sources=tuple(words[:-1]), destination=words[-1], chown=chown, link=True)
            return f"COPY{blank}--chown={chown}{blank}--link{blank}{blank.join(words)}", copy
        case "exec":
            quoted = ",".join('"' + word.replace('"', '\\"') + '"' for word in words)
            return f"CMD{blank}[{quoted}]", Cmd(command=ExecForm(tuple(words)))
        case "env":
            pairs = tuple(Pair(word.replace("=", "_"), f'"{word}"') for word in words)
            return "ENV" + blank + blank.join(f"{pair.key}={pair.value}" for pair in pairs), Env(pairs=pairs)
        case _:
            heredoc = Heredoc(name="E_O_F", content="".join(f"{word}\n" for word in words), expand=True, chomp=False)
            text = f"<<E_O_F {words[0]}"
            return f"RUN{blank}{text}\n{heredoc.content}E_O_F", Run(command=ShellForm(text, (heredoc,)))


@settings(deadline=None)  # the first example loads the grammar
@given(st.lists(_instructions(), max_size=4))
def test_what_is_written_is_what_is_read(pairs: list[tuple[str, object]]) -> None:
    text = "FROM scratch\n" + "".join(f"{text}\n" for text, _ in pairs)
    assert _parse(text) == [instruction for _, instruction in pairs]


def test_only_tabs_at_the_beginning_of_lines_are_chomped() -> None:
    heredoc = Heredoc(name="E", content="\t\ta\tb\n \tc\n\r\td\x0b\te\n", expand=True, chomp=True)
    assert heredoc.body == "a\tb\n \tc\n\r\td\x0b\te\n"

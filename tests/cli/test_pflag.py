from __future__ import annotations

import click
import pytest

from builder.cli.pflag import Flag, FlagError, Kind, Values, parse, write_flags

FLAGS = (
    Flag("tag", "Name it", Kind.LIST, "t"),
    Flag("push", "Send it", Kind.BOOL),
    Flag("quiet", "Say less", Kind.BOOL, "q"),
    Flag("pull", "Fetch it", Kind.OPTIONAL, bare="always"),
    Flag("file", "Read it", short="f"),
    Flag("platform", "For it", Kind.COMMAS),
    Flag("rm", "", Kind.BOOL, hidden=True),
)


def values(*arguments: str) -> Values:
    return parse(FLAGS, arguments)[0]


@pytest.mark.parametrize("arguments", [["-f", "x"], ["-fx"], ["-f=x"], ["--file", "x"], ["--file=x"], ["-qf", "x"],
                                       ["-qfx"], ["-f", "y", "--file", "x"]])
def test_spellings_of_a_value(arguments: list[str]) -> None:
    assert values(*arguments).text("file") == "x"


@pytest.mark.parametrize(("arguments", "on"), [
    (["--push"], True), (["--push=true"], True), (["--push=1"], True), (["--push=false"], False), (["--push=F"], False),
    ([], False), (["--push", "--push=0"], False),
])
def test_booleans_as_go_reads_them(arguments: list[str], on: bool) -> None:
    assert values(*arguments).on("push") is on


def test_a_bare_flag_leaves_the_next_argument_alone() -> None:
    found, rest = parse(FLAGS, ["--pull", ".", "--push", "false"])
    assert (found.text("pull"), found.on("push"), rest) == ("always", True, [".", "false"])
    assert values("--pull=never").text("pull") == "never"


def test_lists_keep_their_order_and_commas_split_where_docker_splits() -> None:
    found = values("-t", "a,b", "--tag=c", "--platform", "x,y", "--platform=z")
    assert found.all("tag") == ("a,b", "c")
    assert found.all("platform") == ("x", "y", "z")


def test_arguments_between_behind_and_after_flags() -> None:
    assert parse(FLAGS, ["a", "-q", "-", "--", "-t", "b"])[1] == ["a", "-", "-t", "b"]
    found, rest = parse(FLAGS, ["-q", "image", "-t", "x"], interspersed=False)
    assert rest == ["image", "-t", "x"] and found.on("quiet") and not found.given("tag")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--nope"], "unknown flag: --nope"), (["-x"], "unknown shorthand flag: 'x' in -x"),
    (["-qx"], "unknown shorthand flag: 'x' in -qx"), (["--tag"], "flag needs an argument: --tag"),
    (["-qt"], "flag needs an argument: 't' in -qt"), (["--=x"], "unknown flag: --"),
    (["--push=maybe"],
     'invalid argument "maybe" for "--push" flag: strconv.ParseBool: parsing "maybe": invalid syntax'),
    (["-q=x"], 'invalid argument "x" for "-q, --quiet" flag: strconv.ParseBool: parsing "x": invalid syntax'),
])
def test_complaints_are_pflags(arguments: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(FLAGS, arguments)
    assert caught.value.message == message


def test_a_misspelt_flag_gets_a_hint() -> None:
    with pytest.raises(FlagError) as caught:
        parse(FLAGS, ["--platfrom", "x"])
    assert caught.value.hint == "did you mean `--platform`?"


def test_asking_for_a_flag_that_is_not_there_is_a_bug() -> None:
    with pytest.raises(KeyError):
        values().text("nope")


def test_help_is_sorted_aligned_and_wrapped() -> None:
    formatter = click.HelpFormatter(width=48)
    write_flags(formatter, "Options", (
        Flag("zed", "Z", Kind.BOOL), Flag("file", "Read it, which takes many words to say", short="f"),
        Flag("pull", "P", Kind.OPTIONAL), Flag("rm", "", hidden=True)))
    assert formatter.getvalue() == """\
Options:
  -f, --file string     Read it, which takes
                        many words to say
      --pull[=string]   P
      --zed             Z
"""

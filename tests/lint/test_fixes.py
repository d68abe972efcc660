"""`lint --fix`: what is mended, how, and what is left alone."""

from __future__ import annotations

import pytest

from builder.language.format import meaning
from builder.language.parser import parse
from builder.lint.fixes import FIXABLE, FIXABLE_UNSAFELY, fixed
from builder.lint.rules import RULES
from builder.plan.offline import check_offline
from builder.source import Source

SAFE = [
    ("FROM scratch\nlabel a=b\nCopy a /\nUSER x\n", "FROM scratch\nLABEL a=b\nCOPY a /\nUSER x\n"),
    ("from scratch\nlabel a=b\nCOPY a /\n", "from scratch\nlabel a=b\ncopy a /\n"),
    ("FROM scratch as x\n", "FROM scratch AS x\n"),
    ("from scratch AS x\nuser a\n", "from scratch as x\nuser a\n"),
    ("FROM scratch AS Base\nFROM base AS \tApp  \nCOPY --from=Base a /\n",
     "FROM scratch AS base\nFROM base AS \tapp  \nCOPY --from=Base a /\n"),
    ("from scratch as Base\nLABEL a=b\nUSER x\n", "FROM scratch AS base\nLABEL a=b\nUSER x\n"),
    ("FROM scratch\nRUN a \\\n\n  b \\\n  # kept\n\n  c\n", "FROM scratch\nRUN a \\\n  b \\\n  # kept\n  c\n"),
    ("FROM scratch\nENV a b\nENV c d e\nLABEL f 'g h'\nLABEL i \"j k\"\nENV l m$n o\n",
     "FROM scratch\nENV a=b\nENV c=\"d e\"\nLABEL f='g h'\nLABEL i=\"j k\"\nENV l=\"m$n o\"\n"),
    ("FROM --platform=$TARGETPLATFORM scratch\n", "FROM scratch\n"),
    ("FROM scratch\nEXPOSE 80/TCP \\\n  81/Udp 82\n", "FROM scratch\nEXPOSE 80/tcp \\\n  81/udp 82\n"),
    ("# escape=`\nFROM scratch as x\nRUN a `\n\n b\n", "# escape=`\nFROM scratch AS x\nRUN a `\n b\n"),
    ("FROM scratch\ncopy <<EOF /a\nlabel x\nEOF\nUSER x\n", "FROM scratch\nCOPY <<EOF /a\nlabel x\nEOF\nUSER x\n"),
]
LEFT_ALONE = [
    "FROM scratch\nENV a b'c d\n",  # no quotes are sure to keep this
    "FROM scratch\nENV a \\\n  b c\n",
    "FROM scratch\nENV a it\"s \\\"\n",
    "FROM scratch\nEXPOSE $P/TCP\n",
    "FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER x\n",
    "FROM scratch AS a\nFROM scratch AS a\n",
]
UNSAFE = [
    ("FROM scratch\nCMD node server.js --port=80\n", 'FROM scratch\nCMD ["node", "server.js", "--port=80"]\n'),
    ("FROM scratch\nENTRYPOINT /bin/app\n", 'FROM scratch\nENTRYPOINT ["/bin/app"]\n'),
    ("FROM scratch\nMAINTAINER A \"B\" <c@d.e> $X\n",
     'FROM scratch\nLABEL org.opencontainers.image.authors="A \\"B\\" <c@d.e> \\$X"\n'),
]
UNSAFE_LEFT_ALONE = ["CMD a && b", "CMD echo $HOME", "CMD exec node x", "CMD a > b", "CMD A=1 b", "CMD echo 'a b'",
                     "CMD cd /x", "CMD a *.txt", "CMD a \\\n  b"]


def mended(text: str, *, unsafe: bool = False) -> str:
    """As the command does it: until nothing more can be mended."""
    while True:
        source = Source("Dockerfile", text)
        after = fixed(parse(source), check_offline(source).findings, unsafe=unsafe)
        if after == text:
            return text
        text = after


@pytest.mark.parametrize(("before", "after"), SAFE)
def test_safe(before: str, after: str) -> None:
    assert mended(before) == after
    assert {finding.rule.name for finding in check_offline(Source("Dockerfile", after)).findings} & FIXABLE == set()


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_left_alone(text: str) -> None:
    assert mended(text) == text


@pytest.mark.parametrize(("before", "after"), UNSAFE)
def test_unsafe(before: str, after: str) -> None:
    assert mended(before) == before
    assert mended(before, unsafe=True) == after


@pytest.mark.parametrize("line", UNSAFE_LEFT_ALONE)
def test_commands_that_need_a_shell(line: str) -> None:
    assert mended(f"FROM scratch\n{line}\n", unsafe=True) == f"FROM scratch\n{line}\n"


def test_spelling_fixes_change_no_meaning() -> None:
    for before, after in SAFE:
        if not any(word in before for word in ("ENV a b", "TARGETPLATFORM", "EXPOSE")):
            assert meaning(parse(Source("", before))) == meaning(parse(Source("", after)))


def test_fixable_rules_exist() -> None:
    assert set(RULES) >= FIXABLE | FIXABLE_UNSAFELY


def test_a_missing_newline_stays_missing() -> None:
    assert mended("FROM scratch as x") == "FROM scratch AS x"

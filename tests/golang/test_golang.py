"""Go's rules for text."""

from __future__ import annotations

import re

import pytest

from builder.golang.bool import parse_bool
from builder.golang.duration import parse_duration
from builder.golang.numbers import parse_integer, parse_unsigned
from builder.golang.quote import quote
from builder.golang.size import parse_size
from builder.golang.space import SPACE

SECOND = 1_000_000_000


@pytest.mark.parametrize(("text", "nanoseconds"), [
    ("0", 0), ("5s", 5 * SECOND), ("30s", 30 * SECOND), ("1478s", 1478 * SECOND), ("-5s", -5 * SECOND),
    ("+5s", 5 * SECOND), ("-0", 0), ("5.0s", 5 * SECOND), ("5.6s", 5_600_000_000), ("5.s", 5 * SECOND),
    (".5s", SECOND // 2), ("1.004s", 1_004_000_000), ("100.00100s", 100_001_000_000), ("10ns", 10), ("11us", 11_000),
    ("12µs", 12_000), ("12μs", 12_000), ("13ms", 13_000_000), ("14s", 14 * SECOND), ("15m", 900 * SECOND),
    ("16h", 57_600 * SECOND), ("3h30m", 12_600 * SECOND), ("10.5s4m", 250_500_000_000), ("-2m3.4s", -123_400_000_000),
    ("0.3333333333333333333h", 1200 * SECOND), ("0.9999999999999999999s", SECOND),
    ("9223372036854775807ns", (1 << 63) - 1),
])
def test_durations(text: str, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "9223372036854775808ns", "3000000h",
                                  "1s ", " 1s", "1_0s", "1m30", "٣s", "1" * 5000 + "s"])
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"^time: "):
        parse_duration(text)


@pytest.mark.parametrize(("text", "size"), [
    ("32", 32), ("32b", 32), ("32B", 32),
    ("32k", 32 << 10), ("32K", 32 << 10), ("32kb", 32 << 10), ("32Kb", 32 << 10),
    ("32Mb", 32 << 20), ("32Gb", 32 << 30), ("32Tb", 32 << 40), ("8Pb", 8 << 50), ("32.5kB", 33280),
    ("32 kB", 32 << 10), ("0", 0), ("1.5KiB", 1536), (".5k", 512), ("1e3", 1000), ("1e9", 10**9), ("1E3k", 1000 << 10),
    ("+5", 5), ("5.", 5), ("1_000", 1000), ("0x1p4", 16), ("64mib", 64 << 20), ("3T", 3 << 40), ("1 B", 1), ("-0", 0),
])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "why"), [
    ("", "invalid size: ''"), ("hello", "invalid size: 'hello'"), ("-32", "invalid size: '-32'"),
    ("inf", "invalid size: 'inf'"), ("nan", "invalid size: 'nan'"), ("٣", "invalid size: '٣'"),
    ("1e", "invalid suffix: 'e'"), ("32bm", "invalid suffix: 'bm'"), ("32x", "invalid suffix: 'x'"),
    ("32kbb", "invalid suffix: 'kbb'"), ("64i", "invalid suffix: 'i'"), ("64bb", "invalid suffix: 'bb'"),
    ("1_", "invalid suffix: '_'"), ("1__0", 'strconv.ParseFloat: parsing "1__0": invalid syntax'),
    ("_1", 'strconv.ParseFloat: parsing "_1": invalid syntax'),
    (" 32 ", 'strconv.ParseFloat: parsing " 32": invalid syntax'),
    ("5 gib ", 'strconv.ParseFloat: parsing "5 gib": invalid syntax'),
    ("32m b", 'strconv.ParseFloat: parsing "32m": invalid syntax'),
    ("0x10", 'strconv.ParseFloat: parsing "0x10": invalid syntax'),
    ("1.2.3", 'strconv.ParseFloat: parsing "1.2.3": invalid syntax'),
])
def test_invalid_sizes_with_docker_s_sentences(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}$"):
        parse_size(text)


def test_sizes_past_what_the_kernel_counts_are_refused() -> None:
    for text in ("9999999P", "1e300", "1e999", "8192P"):
        with pytest.raises(ValueError, match="size"):
            parse_size(text)


def test_numbers() -> None:
    assert parse_unsigned("0755", 8, 32) == 0o755
    assert parse_integer("-12", 32) == -12
    assert parse_integer("+12", 32) == 12
    for text in ("", "8", "0o7", "+7", " 7", "7_7", "1" * 70):
        with pytest.raises(ValueError, match="`"):
            parse_unsigned(text, 8, 32)
    for text in ("2147483648", "--1", "1.5", "٣"):
        with pytest.raises(ValueError, match="`"):
            parse_integer(text, 32)


def test_booleans() -> None:
    assert [parse_bool(text) for text in ("1", "t", "TRUE", "0", "f", "False")] == [True] * 3 + [False] * 3
    for text in ("", "yes", "tRUE", "on"):
        with pytest.raises(ValueError, match="invalid syntax"):
            parse_bool(text)


def test_quote() -> None:
    assert quote('a"b\\c\n\t\x00\x7f\u200bé日😀\U000e0001') == '"a\\"b\\\\c\\n\\t\\x00\\x7f\\u200bé日😀\\U000e0001"'


def test_white_space_is_what_go_takes_for_it() -> None:
    assert " \t\u00a0\u3000x\u2003".strip(SPACE) == "x"
    assert "\x1cx\x1f".strip(SPACE) == "\x1cx\x1f"

from __future__ import annotations

import base64
import itertools
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.solver.redaction import Redactor, forms_of

SECRET = b"pa55/word=and+more"


def shown(secrets: list[bytes], *pieces: bytes) -> bytes:
    redactor = Redactor(secrets)
    return b"".join(redactor.feed(1, piece) for piece in pieces) + b"".join(data for _, data in redactor.rest())


@pytest.mark.parametrize("text", [
    SECRET, b"'" + SECRET + b"'", quote(SECRET).encode(), quote(SECRET, safe="").encode(), SECRET + b"\n" + SECRET])
def test_forms_that_are_hidden(text: bytes) -> None:
    out = shown([SECRET + b"\n"], b"before " + text + b" after")
    assert b"***" in out
    assert b"word" not in out
    assert out.startswith(b"before ")
    assert out.endswith(b" after")


@pytest.mark.parametrize("before", [b"", b"u:", b"us:", b"user:"])
@pytest.mark.parametrize("after", [b"", b"\n", b"xyz"])
def test_base64_of_it_in_any_company(before: bytes, after: bytes) -> None:
    encoded = base64.b64encode(before + SECRET + after)
    out = shown([SECRET], b"Authorization: Basic " + encoded)
    assert b"***" in out
    # At most the characters at both ends, which stand for neighbours too, are left.
    assert len(out) - len(b"Authorization: Basic ***") <= len(base64.b64encode(before)) + len(after) * 2 + 5
    assert shown([SECRET], base64.urlsafe_b64encode(SECRET)).startswith(b"***")


def test_lines_of_a_long_one_are_hidden_alone() -> None:
    key = b"-----BEGIN KEY-----\nAAAAB3NzaC1yc2E\nxyz\n-----END KEY-----\n"
    assert shown([key], b"> AAAAB3NzaC1yc2E <") == b"> *** <"
    assert shown([key], b"> xyz <") == b"> xyz <", "a line like many others"


def test_what_is_too_short_is_no_secret() -> None:
    assert forms_of(b"abc\n") == set()
    assert shown([b"abc"], b"abcabc") == b"abcabc"


def test_streams_do_not_mix() -> None:
    redactor = Redactor([b"secret"])
    assert redactor.feed(1, b"a sec") == b"a "
    assert redactor.feed(2, b"ret b") == b"ret b"
    assert redactor.feed(1, b"ond") == b"second"
    assert redactor.rest() == []


def test_what_waits_comes_at_the_end() -> None:
    assert shown([b"secret"], b"the sec") == b"the sec"


@given(st.lists(st.sampled_from([b"se", b"cret", b"secret", b"s", b"crets", b" ", b"ecre"]), max_size=12),
       st.lists(st.integers(0, 40), max_size=6))
def test_how_output_is_cut_does_not_matter(words: list[bytes], cuts: list[int]) -> None:
    text = b"".join(words)
    places = sorted({min(cut, len(text)) for cut in cuts} | {0, len(text)})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    assert shown([b"secret"], *pieces) == shown([b"secret"], text) == text.replace(b"secret", b"***")

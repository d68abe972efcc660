"""SOURCE_DATE_EPOCH: whatever is given, a time or an error in words."""

from __future__ import annotations

import pytest

from builder.builds.options import BuildOptions
from builder.builds.request import source_date_epoch
from builder.errors import UsageError


@pytest.mark.parametrize("text", [
    "1700000000000", "253402300800", "-62135596801", "99999999999999999999", "9" * 5000, "1_000", " 5", "1e3", "abc",
    "١", "--1", "0x10", "1.5", "\0",
])
def test_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="invalid SOURCE_DATE_EPOCH"):
        source_date_epoch(BuildOptions(build_args={"SOURCE_DATE_EPOCH": text}))


def test_milliseconds_are_recognised() -> None:
    with pytest.raises(UsageError) as caught:
        source_date_epoch(BuildOptions(build_args={"SOURCE_DATE_EPOCH": "1700000000000"}))
    assert caught.value.hint == "it counts seconds, not milliseconds"


@pytest.mark.parametrize(("text", "seconds"), [("", None), ("0", 0), ("-1", -1), ("+7", 7),
                                               ("253402300799", 253402300799), ("-62135596800", -62135596800)])
def test_is_taken(text: str, seconds: int | None) -> None:
    assert source_date_epoch(BuildOptions(build_args={"SOURCE_DATE_EPOCH": text})) == seconds

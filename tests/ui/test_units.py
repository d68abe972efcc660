from __future__ import annotations

import pytest

from builder.golang.tabwriter import cell_width
from builder.ui.text import clip, printable
from builder.ui.units import human_duration, human_size, progress_size


@pytest.mark.parametrize(("size", "text"), [
    (0, "0B"), (1, "1B"), (999, "999B"), (1000, "1kB"), (1024, "1.024kB"), (4096, "4.096kB"), (264_113_000, "264.1MB"),
    (1_500_000_000, "1.5GB"), (2.746e15, "2.746PB"),
])
def test_human_size(size: float, text: str) -> None:
    assert human_size(size) == text


def test_three_digits_as_docker_images_has_them() -> None:
    assert [human_size(n, 3) for n in (4096, 8192, 196_591_616, 264_000_000)] == ["4.1kB", "8.19kB", "197MB", "264MB"]


@pytest.mark.parametrize(("size", "text"), [(0, "0B"), (999, "999B"), (1000, "1.00kB"), (1234, "1.23kB"),
                                            (48_500_000, "48.50MB")])
def test_progress_size(size: int, text: str) -> None:
    assert progress_size(size) == text


@pytest.mark.parametrize(("seconds", "text"), [
    (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (119, "About a minute"),
    (120, "2 minutes"), (3599, "59 minutes"), (3600, "About an hour"), (5399, "About an hour"), (5400, "2 hours"),
    (47 * 3600, "47 hours"), (48 * 3600, "2 days"), (14 * 86400, "2 weeks"), (60 * 86400, "2 months"),
    (800 * 86400, "2 years"),
])
def test_human_duration(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_printable_leaves_nothing_that_steers_a_terminal() -> None:
    assert printable("a\x1b[2Jb\n\t\r\x9b\u202eé") == "a\\x1b[2Jb\\n\\t\\r\\x9b\\u202eé"


def test_width_of_wide_characters() -> None:
    assert cell_width("日本e\u0301") == 5
    assert clip("日本語", 5) == "日本"
    assert clip("abc", 2) == "ab"

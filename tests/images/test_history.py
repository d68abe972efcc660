"""Times of history entries, by BuildKit's rules."""

from __future__ import annotations

import pytest

from builder.golang.times import parse_rfc3339, rfc3339
from builder.images.history import LayerOrigin, complete_history, created_at
from builder.oci import History

T = [f"2024-01-0{day}T00:00:00Z" for day in range(1, 10)]


def entry(text: str) -> History:
    """`L` a layer, `e` an empty entry; a digit is the day it was created."""
    return History(created=T[int(text[1])] if len(text) > 1 else None, empty_layer=text[0] == "e")


def written(history: tuple[History, ...]) -> str:
    return " ".join(("e" if h.empty_layer else "L") + (str(T.index(h.created)) if h.created else "") for h in history)


@pytest.mark.parametrize(("history", "layers", "expected"), [
    ("L0 L", "0 3", "L0 L3"),
    ("L0 e L e", "0 3", "L0 e3 L3 e3"),
    ("L0 e e L L e", "0 3 5", "L0 e3 e3 L3 L5 e5"),
    ("e e", "", "e e"),
    ("L0 e", "0", "L0 e0"),
    ("e L", "4", "e4 L4"),
    ("L0 e1 L e", "0 3", "L0 e1 L3 e3"),
    ("L L L", "2 3", "L2 L3 e3"),
    ("L0", "0 4", "L0 L4"),
    ("e", "4", "e4 L4"),
])
def test_missing_times_are_filled(history: str, layers: str, expected: str) -> None:
    origins = [LayerOrigin(T[int(day)]) for day in layers.split()]
    assert written(complete_history([entry(t) for t in history.split()], origins)) == expected


def test_a_layer_that_nobody_described_gets_an_entry() -> None:
    (added,) = complete_history([], [LayerOrigin(T[1], "pulled from x")])
    assert added == History(created=T[1], created_by="pulled from x", comment="buildkit.exporter.image.v0")


def test_the_epoch_clamps_what_is_new_and_leaves_the_base_alone() -> None:
    epoch = int(parse_rfc3339(T[2]) or 0)
    base = [entry("L7"), entry("e8")]
    history = [*base, entry("L"), entry("e"), entry("L1")]
    origins = [LayerOrigin(T[n]) for n in (7, 6, 1)]
    done = complete_history(history, origins, base=base, epoch=epoch)
    assert written(done) == "L7 e8 L2 e1 L1"
    assert created_at(done) == T[1]
    assert written(complete_history(history, origins, epoch=epoch)) == "L2 e2 L2 e1 L1"


def test_an_image_without_history_has_no_time() -> None:
    assert created_at(complete_history([], [], epoch=5)) is None


@pytest.mark.parametrize(("seconds", "text"), [
    (0, "1970-01-01T00:00:00Z"), (1600000000, "2020-09-13T12:26:40Z"), (0.5, "1970-01-01T00:00:00.5Z"),
    (1600000000.000001, "2020-09-13T12:26:40.000001Z"), (-1, "1969-12-31T23:59:59Z"),
    (0.9999999, "1970-01-01T00:00:01Z"),
])
def test_times(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text
    assert parse_rfc3339(text) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-13-01T00:00:00Z"])
def test_what_is_no_time(text: str) -> None:
    assert parse_rfc3339(text) is None

"""Attempts to make the cache give a layer that does not belong to what is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root


def text(out: Path, name: str) -> str:
    return (out / name).read_text()


def test_a_layer_made_again_does_not_get_the_layers_that_stood_on_the_lost_one(builder: Command) -> None:
    dockerfile = "FROM base\nRUN cat /proc/sys/kernel/random/uuid > /a\nRUN cp /a /b\n"
    out = builder.files(dockerfile)
    first = text(out, "a")
    assert text(out, "b") == first
    lost = [folder for folder in (builder.root / "layers").iterdir() if (folder / "diff" / "a").exists()]
    assert len(lost) == 1
    shutil.rmtree(lost[0])
    out = builder.files(dockerfile)
    assert text(out, "a") != first
    assert text(out, "b") == text(out, "a")

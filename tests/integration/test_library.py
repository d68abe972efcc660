"""The examples of docs/library.md, run one after the other as a reader would."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

PAGE = Path(__file__).parents[2] / "docs" / "library.md"
DOCKERFILE = 'FROM base-image\nARG VERSION=1\nRUN echo "$VERSION" > /version\nCMD ["cat", "/version"]\n'


def test_examples(builder: Command) -> None:
    """In one process, so that names of one example are known in the next."""
    assert builder.build("FROM base\n", "-t", "base-image").returncode == 0
    (builder.context / "Dockerfile").write_text(DOCKERFILE)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 8
    program = f"root = {str(builder.root)!r}\n" + "\n".join(examples)
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=builder.context, capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": str(PAGE.parents[1])})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "unknown-target target stage" in done.stdout
    assert "['cat', '/version']" in done.stdout
    assert "b'2\\n'" in done.stdout
    assert (builder.context / "app.tar").exists()
    assert (builder.context / "files" / "version").read_text() == "1\n"


def test_names_in_the_text_exist() -> None:
    names = re.findall(r"`(builder(?:\.\w+)+)", PAGE.read_text())
    assert len(names) >= 5
    for name in names:
        pkgutil.resolve_name(f"{name.rpartition('.')[0]}:{name.rpartition('.')[2]}")

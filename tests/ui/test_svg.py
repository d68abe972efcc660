from __future__ import annotations

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_picture_in_the_readme_is_what_the_code_draws() -> None:
    drawn = subprocess.run([sys.executable, DOCS / "build_svg.py"], capture_output=True, text=True, check=True).stdout
    assert drawn == (DOCS / "build.svg").read_text(), "run: python docs/build_svg.py > docs/build.svg"

"""The wheel, built and installed as users get it: the command runs, and the grammars are there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import builder

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the checkout stays clean; by the installed setuptools: no network is needed."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("builder", "grammar"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md"):
        shutil.copy(ROOT / name, folder / "source")
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
                           "--no-index", "--wheel-dir", folder, folder / "source"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that holds the wheel and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    subprocess.run([sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--quiet",
                    "--no-deps", "--no-index", wheel], check=True)
    return folder / "bin"


def run(*command: str | Path, cwd: Path) -> str:
    """The output of a command that finds the dependencies, but not the checkout."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": sysconfig.get_path("purelib"), "HOME": str(cwd),
                   "BUILDER_ROOT": str(cwd / "state")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "builder").rglob("*.py")}
    grammars = {f"builder/grammar/{path.name}" for path in (ROOT / "grammar").glob("*.lark")}
    assert grammars
    assert names == sources | grammars | {"builder/py.typed"}


def test_the_version_is_said_once_and_the_same(wheel: Path) -> None:
    assert wheel.name.startswith(f"dockerfile_builder-{builder.__version__}-")


def test_the_command_runs(installed: Path, tmp_path: Path) -> None:
    assert run(installed / "builder", "--version", cwd=tmp_path) == f"builder version {builder.__version__}\n"
    assert run(installed / "python", "-m", "builder", "--help", cwd=tmp_path).startswith("Usage:  builder ")


def test_the_installed_package_reads_a_dockerfile(installed: Path, tmp_path: Path) -> None:
    script = ("import builder; from builder.language.parser import parse; from builder.source import Source; "
              "assert 'site-packages' in builder.__file__; "
              "print(len(parse(Source('Dockerfile', 'FROM scratch\\nCOPY a /\\n')).stages))")
    assert run(installed / "python", "-c", script, cwd=tmp_path) == "1\n"

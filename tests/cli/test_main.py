from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import builder
from builder.cli.command import SUMMARIES
from builder.cli.group import ALIASES, load
from tests.cli.conftest import ROOT, Cli

VERSION_MAY_IMPORT = {"builder", "builder.__main__", "builder.cli", "builder.cli.main", "builder.cli.streams",
                      "builder.version"}
HELP_MAY_IMPORT = VERSION_MAY_IMPORT | {
    "builder.cli.command", "builder.cli.group", "builder.cli.pflag", "builder.cli.value_types",
    "builder.errors", "builder.golang", "builder.golang.bool", "builder.source"}
BUILD_FRONT_MAY_IMPORT = HELP_MAY_IMPORT | {
    "builder.cli.commands.build", "builder.cli.build_flags", "builder.cli.buildah_flags", "builder.cli.diagnostics",
    "builder.cli.kaniko_flags", "builder.cli.refused_flags", "builder.cli.registry_flags",
    "builder.cli.excerpt", "builder.cli.flagvalues", "builder.golang.csv", "builder.golang.tabwriter",
    "builder.solver", "builder.solver.events", "builder.oci",
    "builder.reference", "builder.ui", "builder.ui.colors", "builder.ui.progress", "builder.ui.text",
    "builder.ui.units",
}
"""Up to the point where the library takes over; what that imports is its own business (`builder.api`)."""
NEVER_BEFORE_WORK = {"lark", "urllib3", "pathspec", "tarfile", "zstandard", "isal", "asyncio", "logging",
                     "argparse", "dataclasses", "json", "http", "ssl", "email", "subprocess"}


def imported_by(*arguments: str) -> set[str]:
    done = subprocess.run([sys.executable, "-X", "importtime", "-m", "builder", *arguments], capture_output=True,
                          text=True, cwd=ROOT, check=False, env={**os.environ, "BUILDER_ROOT": "/nonexistent"})
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "builder"}


@pytest.mark.parametrize(("arguments", "allowed"), [
    (["--version"], VERSION_MAY_IMPORT), (["--help"], HELP_MAY_IMPORT),
    (["tag", "--help"], HELP_MAY_IMPORT | {"builder.cli.commands.tag"}),
])
def test_import_budget(arguments: list[str], allowed: set[str]) -> None:
    modules = imported_by(*arguments)
    assert ours(modules) <= allowed
    assert not modules & NEVER_BEFORE_WORK


def test_import_budget_of_a_build_up_to_the_library() -> None:
    """`--progress x` fails after all flags have been read and before the library is loaded."""
    modules = imported_by("build", "--progress", "x", ".")
    assert ours(modules) <= BUILD_FRONT_MAY_IMPORT
    assert not modules & NEVER_BEFORE_WORK


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_version(cli: Cli, flag: str) -> None:
    done = cli(flag)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"builder version {builder.__version__}\n", "")


def test_closed_output_is_no_error() -> None:
    command = f'exec "{sys.executable}" -m builder --help >&-'
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_names_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for name, summary in SUMMARIES.items():
        assert f"  {name.ljust(16)}{summary}\n" in done.stdout
    assert cli("help").stdout == done.stdout
    nothing = cli()
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", done.stdout)


@pytest.mark.parametrize("name", SUMMARIES)
def test_every_command_has_help(name: str) -> None:
    command = load(name)
    assert f"{command.usage} ".startswith(f"{name} ")
    names = [flag.name for flag in command.own_flags]
    assert command.name == name and len(names) == len(set(names))


def test_aliases_name_commands() -> None:
    assert set(ALIASES.values()) <= set(SUMMARIES)


def test_help_of_a_command(cli: Cli) -> None:
    done = cli("tag", "--help")
    assert done.stdout.startswith("Usage:  builder tag SOURCE TARGET\n\nCreate a tag that refers to an image\n")
    assert cli("help", "tag").stdout == cli("image", "tag", "--help").stdout == done.stdout


@pytest.mark.parametrize(("arguments", "stderr"), [
    (["bild"], "error[unknown-command]: unknown command `bild`\nhint: did you mean `build`?\n"),
    (["--nope", "build"], "error[usage]: unknown flag: --nope\n"),
    (["build"], "error[usage]: 'builder build' requires 1 argument\n"
                "note: usage: builder build [OPTIONS] PATH | URL | -\nhint: `builder build --help` lists the flags\n"),
    (["build", "--tga", "x", "."], "error[usage]: unknown flag: --tga\nnote: usage: "
                                   "builder build [OPTIONS] PATH | URL | -\nhint: did you mean `--tag`?\n"),
    (["build", "--pid", "host", "."],
     "error[not-supported]: `--pid` is not supported: steps have a PID namespace of their own\n"),
    (["build", "-q", "--progress", "plain", "."], "error[usage]: progress=plain and quiet cannot be used together\n"),
    (["build", "--progress", "x", "."], "error[invalid-value]: invalid progress mode x\n"
                                        "hint: choose one of auto, none, plain, quiet, rawjson, tty\n"),
])
def test_usage_errors(cli: Cli, arguments: list[str], stderr: str) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (125 if "unknown flag" in stderr else 1, "", stderr)


@pytest.mark.parametrize(("arguments", "status"), [
    (["build", "--nope", "."], 125), (["build", "-Z", "."], 125), (["build", "--tag"], 125),
    (["images", "--nope"], 125),
    (["build", "--shm-size", "x", "."], 125), (["build", "--push=maybe", "."], 125), (["run", "--nope", "x"], 125),
    (["buildx", "bake", "--nope"], 125), (["login", "--nope"], 125), (["system", "df", "--nope"], 125),
    (["build"], 1), (["build", "a", "b"], 1), (["run"], 1), (["pull"], 1), (["tag", "a"], 1), (["nope"], 1),
    (["buildx", "nope"], 1), (["image", "nope"], 1), (["help", "nope"], 1), (["build", "--network", "x", "."], 1),
    (["build", "-t", "UPPER", "."], 1), (["run", "--detach", "x"], 125), ([], 0),
])
def test_exit_statuses_are_dockers(cli: Cli, arguments: list[str], status: int) -> None:
    assert cli(*arguments).returncode == status


def test_global_flags_count_before_and_after_the_command(cli: Cli) -> None:
    for arguments in (["--debug", "build", "--progress", "x", "."], ["build", "--progress", "x", "-D", "."]):
        assert "Traceback (most recent call last)" in cli(*arguments).stderr
    assert "Traceback" not in cli("build", "--progress", "x", ".").stderr


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(f"{sys.executable} -m builder build --help | head -n 1", shell=True, cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("Usage:  builder build [OPTIONS] PATH | URL | -\n", "")

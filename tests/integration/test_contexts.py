"""Where a context may come from, in kaniko's words."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Command

pytestmark = pytest.mark.root


@pytest.fixture
def folder(builder: Command) -> Path:
    """A context with another one in `sub`, as a folder, as an archive and as a git repository."""
    for path, text in ((builder.context, "top"), (builder.context / "sub", "below")):
        path.mkdir(exist_ok=True)
        (path / "f").write_text(f"{text}\n")
        (path / "Dockerfile").write_text("FROM scratch\nCOPY f /\n")
    subprocess.run(["tar", "-cf", str(builder.context.parent / "context.tar"), "-C", str(builder.context), "."],
                   check=True)
    return builder.context


def result(builder: Command, *args: str) -> str:
    out = builder.context.parent / "out"
    done = builder.run("build", "--progress", "plain", "-o", str(out), *args)
    assert done.returncode == 0, done.stderr
    return (out / "f").read_text()


@pytest.mark.parametrize("scheme", ["", "dir://", "tar://"])
def test_the_folder_of_a_context_that_counts(builder: Command, folder: Path, scheme: str) -> None:
    context = scheme + str(folder.parent / "context.tar" if scheme == "tar://" else folder)
    assert result(builder, "--context", context) == "top\n"
    assert result(builder, "--context", context, "--context-sub-path", "sub") == "below\n"
    assert result(builder, "--context-sub-path", "sub/", context) == "below\n"
    done = builder.run("build", context, "--context-sub-path", "nosuch")
    assert done.returncode == 1
    assert "nosuch" in done.stderr


@pytest.mark.parametrize(("value", "words"), [
    ("", "named context `x`: there is nothing behind the `=`"),
    ("/no/such", "named context `x`: no directory `/no/such`"),
    ("f", "named context `x`: no directory `f`"),
    ("oci-layout:///no/such:tag", "named context `x`: no OCI layout `/no/such`"),
    ("what://ever", "named context `x`: `what://ever` is of no known kind"),
])
def test_a_named_context_that_is_not_there_is_an_error_though_unused(builder: Command, folder: Path, value: str,
                                                                     words: str) -> None:
    done = builder.run("build", "--build-context", f"x={value}", str(folder))
    assert done.returncode == 1
    assert words in done.stderr


def test_a_link_does_not_lead_out_of_an_archive(builder: Command, folder: Path) -> None:
    (folder / "link").symlink_to("/etc")
    subprocess.run(["tar", "-cf", str(folder.parent / "context.tar"), "-C", str(folder), "."], check=True)
    done = builder.run("build", f"tar://{folder.parent / 'context.tar'}", "--context-sub-path", "link")
    assert done.returncode == 1
    assert "the context has no directory `link`" in done.stderr


def test_the_dockerfile_is_looked_for_in_the_context_too(builder: Command, folder: Path) -> None:
    (folder / "sub" / "Other").write_text("FROM scratch\nCOPY f /\n")
    assert result(builder, "--context", f"dir://{folder}", "--context-sub-path", "sub", "--dockerfile",
                  "Other") == "below\n"


@pytest.mark.parametrize(("args", "message"), [
    ((), "'builder build' requires 1 argument"), (("a", "b"), "'builder build' requires 1 argument"),
    (("--context", "a", "b"), "'builder build' requires 1 argument"),
    (("--git", "branch=x", "."), "--git is for git contexts, and `.` is none"),
    (("--git", "depth=1", "."), "--git `depth=1` is not supported")])
def test_one_context_it_must_be(builder: Command, args: tuple[str, ...], message: str) -> None:
    done = builder.run("build", *args)
    assert done.returncode == 1
    assert message in done.stderr

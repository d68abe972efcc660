"""Builds that take their files from git and HTTP servers."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.context.servers import COMMIT_TIME, Answer, FileServer, git
from tests.integration.conftest import Command

pytestmark = pytest.mark.root

FILES = {"Dockerfile": "FROM scratch\nCOPY . /all/\n", ".dockerignore": "skipped\n", "skipped": "s\n", "sub/f": "f\n",
         "sub/Dockerfile": "FROM scratch\nCOPY f /sub/\n", "sub/Other": "FROM scratch\nCOPY f /other/\n"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileServer]:
    """Serves FILES as a git repository and as an archive."""
    root = tmp_path_factory.mktemp("remote")
    work = root / "work"
    git("init", "-q", "-b", "main", str(work))
    for name, text in FILES.items():
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    git("add", "-A", cwd=str(work))
    git("commit", "-q", "-m", "one", cwd=str(work))
    git("tag", "v1", cwd=str(work))
    (work / "sub" / "f").write_text("second\n")
    git("commit", "-q", "-a", "-m", "two", cwd=str(work))
    git("clone", "-q", "--bare", str(work), str(root / "repo.git"))
    tar = subprocess.run(["tar", "-cz", "--exclude=.git", "."], cwd=work, check=True, capture_output=True).stdout
    with FileServer(str(root)) as running:
        running.routes = {"/context.tgz": Answer(tar), "/Dockerfile": Answer(b"FROM scratch\nCOPY . /all/\n")}
        yield running


def built(builder: Command, context: str, *args: str) -> dict[str, str]:
    """Texts of the files that building a context writes."""
    out = builder.context.parent / "out"
    done = builder.run("build", "--progress", "plain", "--output", str(out), *args, context)
    assert done.returncode == 0, done.stderr
    return texts(out)


def texts(out: Path) -> dict[str, str]:
    return {str(path.relative_to(out)): path.read_text() for path in out.rglob("*") if path.is_file()}


@pytest.mark.parametrize("url", ["{url}/git/repo.git#v1", "{url}/context.tgz"])
def test_ignore_files_of_remote_contexts_are_not_read(builder: Command, server: FileServer, url: str) -> None:
    files = FILES if url.endswith("#v1") else {**FILES, "sub/f": "second\n"}
    assert built(builder, url.format(url=server.url)) == {f"all/{name}": text for name, text in files.items()}


def test_dockerfile_of_a_git_context(builder: Command, server: FileServer, tmp_path: Path) -> None:
    repo = f"{server.url}/git/repo.git"
    assert built(builder, f"{repo}#:sub") == {"sub/f": "second\n"}
    (tmp_path / "Here").write_text("FROM scratch\nCOPY sub/f /here/\n")
    assert built(builder, repo, "-f", str(tmp_path / "Here"))["here/f"] == "second\n"
    assert built(builder, f"{repo}#v1:sub", "-f", "Other")["other/f"] == "f\n"
    missing = builder.run("build", "-f", "Nothing", repo)
    assert "failed to read dockerfile: open Nothing: no such file or directory" in missing.stderr


def test_a_url_that_is_a_dockerfile(builder: Command, server: FileServer) -> None:
    assert built(builder, f"{server.url}/Dockerfile") == {"all/context": "FROM scratch\nCOPY . /all/\n"}


def test_named_remote_contexts(builder: Command, server: FileServer) -> None:
    out = builder.files("FROM scratch\nCOPY --from=g sub/f /git\nCOPY --from=h context /http\n",
                        "--build-context", f"g={server.url}/git/repo.git#v1",
                        "--build-context", f"h={server.url}/Dockerfile")
    assert texts(out) == {"git": "f\n", "http": "FROM scratch\nCOPY . /all/\n"}


def test_git_over_git(builder: Command, server: FileServer) -> None:
    repo = f"{server.url}/git/repo.git"
    out = builder.files(f"FROM scratch\nADD {repo}#v1 /x\nADD --exclude=Dockerfile {repo}#:sub /x\n")
    assert (texts(out)["x/f"], texts(out)["x/sub/f"]) == ("second\n", "f\n")
    assert not (out / "x" / ".git").exists()


def test_a_download_is_used_until_it_changes(builder: Command, server: FileServer) -> None:
    dockerfile = f"FROM scratch\nADD {server.url}/file /\n"
    for body, is_cached in ((b"one", False), (b"one", True), (b"two", False)):
        server.routes["/file"] = Answer(body, headers=(("ETag", f'"{body.decode()}"'),))
        done = builder.build(dockerfile)
        assert done.returncode == 0, done.stderr
        assert (f"ADD {server.url}/file /\n#2 CACHED" in done.stderr) is is_cached
    assert (builder.files(dockerfile) / "file").read_bytes() == b"two"


def test_a_moved_branch_is_noticed(builder: Command, server: FileServer) -> None:
    bare = str(Path(server.git_root) / "repo.git")
    dockerfile = f"FROM scratch\nADD {server.url}/git/repo.git#moving:sub /\n"
    git("branch", "moving", "v1", cwd=bare)
    assert (builder.files(dockerfile) / "f").read_text() == "f\n"
    git("branch", "-f", "moving", "main", cwd=bare)
    assert (builder.files(dockerfile) / "f").read_text() == "second\n"


def test_an_archive_is_sent_again_only_when_it_changed(builder: Command, server: FileServer) -> None:
    content = server.routes["/context.tgz"]
    assert isinstance(content, Answer)

    def conditional(headers: Mapping[str, str]) -> Answer:
        etag = (("ETag", '"one"'),)
        return Answer(status=304, headers=etag) if headers.get("if-none-match") == '"one"' else Answer(
            content.body, headers=etag)

    server.routes["/kept.tgz"] = conditional
    first = built(builder, f"{server.url}/kept.tgz")
    assert built(builder, f"{server.url}/kept.tgz") == first
    sent = [headers.get("if-none-match") for path, headers in server.requests if path == "/kept.tgz"]
    assert sent == [None, '"one"']


def test_a_dockerfile_by_url(builder: Command, server: FileServer) -> None:
    (builder.context / "f").write_text("local\n")
    assert built(builder, str(builder.context), "-f", f"{server.url}/Dockerfile") == {"all/f": "local\n"}


def test_kanikos_notations_of_local_contexts(builder: Command, tmp_path: Path) -> None:
    (builder.context / "Dockerfile").write_text("FROM scratch\nCOPY f /\n")
    (builder.context / "f").write_text("f\n")
    assert built(builder, f"dir://{builder.context}") == {"f": "f\n"}
    subprocess.run(["tar", "-czf", str(tmp_path / "c.tgz"), "."], cwd=builder.context, check=True)
    assert built(builder, f"tar://{tmp_path}/c.tgz") == {"f": "f\n"}
    missing = builder.run("build", f"tar://{tmp_path}/none")
    assert f"cannot read the context `{tmp_path}/none`" in missing.stderr


EPOCH = "FROM base\nARG SOURCE_DATE_EPOCH\nRUN echo \"epoch=$SOURCE_DATE_EPOCH\" > /epoch\n"


@pytest.mark.parametrize(("path", "epoch"), [
    ("git/repo.git", str(COMMIT_TIME)), ("dated.tgz", "1600000000"), ("undated.tgz", "1500000000")])
def test_the_time_of_the_context(builder: Command, server: FileServer, path: str, epoch: str) -> None:
    (builder.context.parent / "Dockerfile").write_text(EPOCH)
    server.routes["/dated.tgz"] = Answer(_archive(), headers=(("Last-Modified", "Sun, 13 Sep 2020 12:26:40 GMT"),))
    server.routes["/undated.tgz"] = Answer(_archive())
    out = builder.files(EPOCH, "--build-arg", "SOURCE_DATE_EPOCH=context", context=f"{server.url}/{path}")
    assert (out / "epoch").read_text() == f"epoch={epoch}\n"


def test_a_local_context_has_no_time(builder: Command) -> None:
    out = builder.files(EPOCH, "--build-arg", "SOURCE_DATE_EPOCH=context")
    assert (out / "epoch").read_text() == "epoch=\n"
    wrong = builder.build(EPOCH, "--build-arg", "SOURCE_DATE_EPOCH=other")
    assert "invalid SOURCE_DATE_EPOCH: other" in wrong.stderr


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number, name in enumerate(("a", "b")):
            member = tarfile.TarInfo(name)
            member.mtime = 1_500_000_000 - number
            tar.addfile(member)
    return buffer.getvalue()

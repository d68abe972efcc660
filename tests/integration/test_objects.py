"""Contexts in object stores, through the real client libraries."""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.context.objectstore import ClientMissing, ObjectFailed, fetch_object, object_location
from builder.errors import ContextError
from tests.context.objectserver import ObjectServer
from tests.integration.conftest import Command
from tests.integration.test_remote import texts

pytestmark = pytest.mark.root
AZURE = "https://account.blob.core.windows.net/bucket/"


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectServer]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in (("Dockerfile", "FROM scratch\nCOPY f /\n"), ("f", "from a bucket\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    with ObjectServer() as running:
        running.objects["bucket", "some dir/context.tar.gz"] = buffer.getvalue()
        running.objects["bucket", "Dockerfile"] = b"FROM scratch\nCOPY . /all/\n"
        yield running


@pytest.mark.parametrize("prefix", ["s3://bucket/", "gs://bucket/", AZURE], ids=["s3", "gcs", "azure"])
def test_as_the_context_and_as_a_named_one(builder: Command, server: ObjectServer, prefix: str) -> None:
    out, context = builder.context.parent / "out", f"{prefix}some%20dir/context.tar.gz"
    done = builder.run("build", "--progress", "plain", "-o", str(out), context, env=server.environment())
    assert done.returncode == 0, done.stderr
    assert texts(out) == {"f": "from a bucket\n"}

    named = builder.context.parent / "named"
    done = builder.run("build", "--progress", "plain", "-o", str(named), "--build-context", f"objects={context}",
                       "-f", str(_written(builder, "FROM scratch\nCOPY --from=objects f /g\n")), str(builder.context),
                       env=server.environment())
    assert done.returncode == 0, done.stderr
    assert texts(named) == {"g": "from a bucket\n"}


def test_an_object_that_is_a_dockerfile(builder: Command, server: ObjectServer) -> None:
    out = builder.context.parent / "out"
    done = builder.run("build", "-q", "-o", str(out), "s3://bucket/Dockerfile", env=server.environment())
    assert done.returncode == 0, done.stderr
    assert texts(out) == {"all/context": "FROM scratch\nCOPY . /all/\n"}


@pytest.mark.parametrize("prefix", ["s3://bucket/", "gs://bucket/", AZURE], ids=["s3", "gcs", "azure"])
def test_what_is_not_there(builder: Command, server: ObjectServer, prefix: str) -> None:
    done = builder.run("build", f"{prefix}none.tar", env=server.environment())
    assert done.returncode == 1
    assert f"failed to solve: failed to fetch `{prefix}none.tar`\n" in done.stderr


def test_a_client_that_cannot_connect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What requests raises is an OSError, like what a full disk raises."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "ftp://127.0.0.1")
    location = object_location("gs://bucket/key")
    assert location is not None
    with pytest.raises(ObjectFailed, match="failed to fetch `gs://bucket/key`"):
        fetch_object(location, str(tmp_path / "file"))
    with pytest.raises(FileNotFoundError):
        fetch_object(location, str(tmp_path / "none" / "file"))


def test_locations(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert object_location(f"{AZURE}x") is None, "a URL like any other"
    assert object_location("https://example.com/x") is None
    monkeypatch.setenv("AZURE_STORAGE_ACCESS_KEY", "a2V5")
    found = object_location(f"{AZURE}x/y")
    assert found is not None
    assert (found.store, found.bucket, found.key) == ("azure", "bucket", "x/y")
    with pytest.raises(ContextError, match="`s3://bucket` names no object"):
        object_location("s3://bucket")


def test_a_missing_client_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    location = object_location("s3://bucket/x")
    assert location is not None
    with pytest.raises(ClientMissing) as caught:
        fetch_object(location, "/nowhere")
    assert caught.value.hint == "pip install 'dockerfile-builder[s3]'"
    assert not isinstance(caught.value, ObjectFailed)


def _written(builder: Command, text: str) -> str:
    path = builder.context.parent / "Named"
    path.write_text(text)
    return str(path)

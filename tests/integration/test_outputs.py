"""Where results go: names in a registry, several outputs at once."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator

import pytest
from registry.servers import Handler, MiniRegistry, sha

from tests.integration.conftest import Command

pytestmark = pytest.mark.root

SMALL = "FROM scratch\nCOPY <<f /f\nhello\nf\n"


@pytest.fixture
def registry() -> Iterator[MiniRegistry]:
    with MiniRegistry() as server:
        yield server


@pytest.mark.parametrize("flags", [
    ("--push", "-t", "NAME"), ("-o", "type=registry", "-t", "NAME"), ("-o", "type=image,push=true", "--tag", "NAME"),
    ("-o", "type=registry,name=NAME"), ("-o", "type=registry,name=elsewhere/other", "-t", "NAME"),
    ("--push", "-o", "type=image", "-t", "NAME"), ("--destination", "NAME")])
def test_tags_name_what_is_pushed(builder: Command, registry: MiniRegistry, flags: tuple[str, ...]) -> None:
    name = f"{registry.domain}/team/app:1"
    done = builder.build(SMALL, *(flag.replace("NAME", name) for flag in flags))
    assert done.returncode == 0, done.stderr
    _, pushed = registry.manifests["team/app", "1"]
    assert json.loads(pushed)["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"


def test_all_platforms_are_those_of_all_base_images(builder: Command, registry: MiniRegistry) -> None:
    def image(name: str, *platforms: str) -> str:
        full = f"{registry.domain}/{name}:1"
        done = builder.build(SMALL, "--push", "-t", full, *(f"--platform={platform}" for platform in platforms))
        assert done.returncode == 0, done.stderr
        return full

    def built(dockerfile: str) -> list[str]:
        done = builder.build(dockerfile, "--all-platforms", "-o", f"type=oci,tar=false,dest={folder}")
        assert done.returncode == 0, done.stderr
        top = json.loads((folder / "index.json").read_text())["manifests"][0]
        index = json.loads((folder / "blobs" / "sha256" / top["digest"].removeprefix("sha256:")).read_text())
        entries = index.get("manifests", [top])
        return [entry["platform"]["architecture"] for entry in entries]

    folder = builder.context.parent / "layout"
    three = image("three", "linux/s390x", "linux/arm64", "linux/amd64")
    two = image("two", "linux/amd64", "linux/s390x")
    alone = image("alone", "linux/ppc64le")
    assert built(f"FROM {three}\nCOPY --from={two} /f /g\n") == ["s390x", "amd64"]
    assert built(f"FROM --platform=$BUILDPLATFORM base AS tools\nFROM {two}\nCOPY --from=tools /etc/passwd /\n") == [
        "amd64", "s390x"]
    assert built(f"FROM {alone}\n") == ["ppc64le"]
    refused = builder.build(f"FROM {three}\nCOPY --from={alone} /f /g\n", "--all-platforms")
    assert refused.returncode == 1
    assert "the base images have no platform in common" in refused.stderr
    assert "/alone:1` is for linux/ppc64le" in refused.stderr


def test_a_push_beside_a_folder(builder: Command, registry: MiniRegistry) -> None:
    out = builder.files(SMALL, "--push", "-t", f"{registry.domain}/app:1", "-t", f"{registry.domain}/app:2")
    assert (out / "f").read_text() == "hello\n"
    assert {tag for name, tag in registry.manifests if name == "app"} >= {"1", "2"}


@pytest.mark.parametrize(("flags", "words"), [
    (("-o", "type=image,push=true,push-by-digest=true,name=r/app:1"), "cannot be pushed by digest"),
    (("-o", "type=registry"), "tag is needed when pushing to registry"),
    (("-o", "type=image,push=true,push-by-digest=true", "-t", "r/app:1"), "cannot be pushed by digest"),
    (("-o", "-", "-o", "type=oci"), "multiple outputs configured to write to stdout"),
    (("--platform", "lnux"), "unknown operating system or architecture"),
    (("--mount", "type=cache,target=/x,nosuch=1"), "--mount `type=cache,target=/x,nosuch=1`: unexpected key 'nosuch'"),
    (("--annotation", "nosuch:a=b"), "unknown annotation type"),
    (("--annotation", "index[:a=b"), "invalid annotation type")])
def test_bad_outputs_are_told_before_anything_runs(builder: Command, flags: tuple[str, ...], words: str) -> None:
    done = builder.build(SMALL, *flags)
    assert done.returncode == 1
    assert words in done.stderr
    assert "COPY" not in done.stderr


@pytest.mark.parametrize("output", ["FILE", "type=oci,tar=false,dest=FILE", "type=oci,dest=FOLDER",
                                    "type=tar,dest=FOLDER/nosuch/x.tar"])
def test_a_result_that_would_find_no_place_is_not_built(builder: Command, output: str) -> None:
    file = builder.context / "file"
    file.write_text("mine\n")
    done = builder.build(SMALL, "-o", output.replace("FILE", str(file)).replace("FOLDER", str(builder.context)))
    assert done.returncode == 1
    assert "cannot write the result to" in done.stderr
    assert "COPY" not in done.stderr
    assert file.read_text() == "mine\n"


def test_files_that_tell_the_digest(builder: Command, registry: MiniRegistry) -> None:
    folder, name = builder.context.parent, f"{registry.domain}/app"
    done = builder.build(SMALL, "--destination", f"{name}:1", "--destination", f"{name}:2",
                         "--digest-file", str(folder / "digest"),
                         "--image-name-with-digest-file", str(folder / "names"),
                         "--image-name-tag-with-digest-file", str(folder / "tags"))
    assert done.returncode == 0, done.stderr
    _, pushed = registry.manifests["app", "1"]
    digest = (folder / "digest").read_text()
    assert digest == sha(pushed)
    assert (folder / "names").read_text() == f"{name}@{digest}\n" * 2
    assert (folder / "tags").read_text() == f"{name}:1@{digest}\n{name}:2@{digest}\n"


def test_files_have_no_digest(builder: Command) -> None:
    done = builder.build(SMALL, "-o", str(builder.context / "out"), "--digest-file", str(builder.context / "digest"))
    assert done.returncode == 1
    assert "a result that is no image has no digest" in done.stderr


def test_kaniko_archives(builder: Command) -> None:
    folder = builder.context.parent
    done = builder.build(SMALL, "--no-push", "-d", "app:1", "--tar-path", str(folder / "app.tar"), "--reproducible",
                         "--oci-layout-path", str(folder / "layout"), "--compression", "zstd")
    assert done.returncode == 0, done.stderr
    with tarfile.open(folder / "app.tar") as tar:
        names = json.loads(tar.extractfile("manifest.json").read())[0]["RepoTags"]  # type: ignore[union-attr]
    assert names == ["app:1"]
    index = json.loads((folder / "layout" / "index.json").read_text())
    blobs = folder / "layout" / "blobs" / "sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"].removeprefix("sha256:")).read_text())
    assert manifest["layers"][0]["mediaType"].endswith("tar+zstd")
    assert json.loads((blobs / manifest["config"]["digest"].removeprefix("sha256:")).read_text())["created"] == (
        "1970-01-01T00:00:00Z")


@pytest.mark.parametrize(("flags", "status"), [((), 1), (("--push-ignore-immutable-tag-errors",), 0)])
def test_a_tag_that_nobody_may_move(builder: Command, registry: MiniRegistry, flags: tuple[str, ...],
                                    status: int) -> None:
    def refuse(handler: Handler) -> bool:
        if handler.command != "PUT" or "/manifests/" not in handler.path:
            return False
        handler.answer(400, b'{"errors":[{"code":"TAG_INVALID","message":"The image tag `1` already exists and cannot'
                            b' be overwritten because the repository is immutable."}]}')
        return True

    registry.faults.append(refuse)
    done = builder.build(SMALL, "--push", "-t", f"{registry.domain}/app:1", *flags)
    assert done.returncode == status, done.stderr
    assert "immutable" in done.stderr


def test_builds_of_one_list(builder: Command, registry: MiniRegistry) -> None:
    name = f"{registry.domain}/list:1"

    def listed() -> list[tuple[str, str]]:
        assert builder.run("push", "-q", name).returncode == 0
        entries = json.loads(registry.manifests["list", "1"][1])["manifests"]
        return [(entry["platform"]["architecture"], entry["digest"]) for entry in entries]

    for platform in ("linux/amd64", "linux/arm64"):
        assert builder.build(SMALL, "--manifest", name, "--platform", platform, "-t", "one").returncode == 0
    first = listed()
    assert [architecture for architecture, _ in first] == ["amd64", "arm64"]
    changed = builder.build(SMALL.replace("hello", "changed"), "--manifest", name, "--platform", "linux/amd64",
                            "-o", str(builder.context / "out"))
    assert changed.returncode == 0, changed.stderr
    second = listed()
    assert [architecture for architecture, _ in second] == ["arm64", "amd64"]
    assert second[0] == first[1] and second[1] != first[0]
    refused = builder.build(SMALL, "--manifest", "one")
    assert refused.returncode == 1
    assert "`one:latest` is an image for one platform, not a list" in refused.stderr

"""Where results go: names in a registry, several outputs at once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from registry.servers import MiniRegistry

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
    assert done.returncode == 2
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

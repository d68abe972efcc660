"""What Buildah's flags add to images: stages that are kept, labels and annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import builder as package
from tests.integration.conftest import Command

pytestmark = pytest.mark.root

THREE_STAGES = """\
FROM base AS tools
RUN echo a > /a
LABEL own=1
FROM tools
RUN echo b > /b
FROM base AS unused
RUN false
FROM scratch AS app
COPY --from=1 /a /b /
"""


def nameless(builder: Command) -> dict[str, dict[str, str]]:
    """The labels of all images without a name, by the id of each."""
    listed = builder.run("images", "-q", "--no-trunc").stdout.split()
    found = {}
    for identity in dict.fromkeys(listed):
        image = json.loads(builder.run("inspect", identity).stdout)[0]
        if not image["RepoTags"]:
            found[identity] = image["Config"]["Labels"] or {}
    return found


def test_stages_are_kept_as_images(builder: Command) -> None:
    assert builder.build(THREE_STAGES, "-t", "app:1").returncode == 0
    assert nameless(builder) == {}
    done = builder.build(THREE_STAGES, "-t", "app:1", "--save-stages", "--layer-label", "kept=yes", "--no-cache")
    assert done.returncode == 0, done.stderr
    stages = nameless(builder)
    assert list(stages.values()) == [{"own": "1", "kept": "yes"}] * 2
    seen = {builder.run("run", "--rm", stage, "sh", "-c", "cat /a /b; true").stdout for stage in stages}
    assert seen == {"a\n", "a\nb\n"}
    assert json.loads(builder.run("inspect", "app:1").stdout)[0]["Config"]["Labels"] is None


def test_stages_say_what_they_are(builder: Command) -> None:
    assert builder.build(THREE_STAGES, "-t", "app:1", "--save-stages", "--stage-labels").returncode == 0
    labels = {found["io.buildah.stage.name"]: (found["io.buildah.stage.base"], identity)
              for identity, found in nameless(builder).items()}
    assert labels["tools"][0] == "base"
    assert labels["1"][0] == labels["tools"][1]
    assert json.loads(builder.run("inspect", "app:1").stdout)[0]["Config"]["Labels"] == {
        "io.buildah.stage.name": "app", "io.buildah.stage.base": "scratch"}


@pytest.mark.parametrize("flags", [("--stage-labels",), ("--layer-label", "a=b")])
def test_labels_of_stages_need_stages(builder: Command, flags: tuple[str, ...]) -> None:
    refused = builder.build("FROM scratch\n", *flags)
    assert refused.returncode == 1
    assert "needs --save-stages: there are no other images to label" in refused.stderr


def manifest(layout: Path) -> dict[str, Any]:
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    found: dict[str, Any] = json.loads((layout / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_text())
    return found


def test_annotations_of_the_base(builder: Command) -> None:
    annotated, layout = builder.context.parent / "annotated", builder.context.parent / "layout"
    to_layout = ("-o", f"type=oci,tar=false,dest={layout}", "--build-context", f"mine=oci-layout://{annotated}")
    assert builder.build("FROM base\n", "-o", f"type=oci,tar=false,dest={annotated}", "--annotation", "a=1",
                         "--annotation", "b=2", "--annotation", "c=3").returncode == 0
    assert builder.build("FROM mine\nRUN true\n", *to_layout).returncode == 0
    assert "annotations" not in manifest(layout)
    done = builder.build("FROM mine\nRUN true\n", *to_layout, "--inherit-annotations", "--unsetannotation", "b",
                         "--annotation", "c=own")
    assert done.returncode == 0, done.stderr
    assert manifest(layout)["annotations"] == {"a": "1", "c": "own"}


def test_the_version_as_a_label(builder: Command) -> None:
    assert builder.build("FROM scratch\n", "--identity-label", "--label", "a=b", "-t", "app").returncode == 0
    assert json.loads(builder.run("inspect", "app").stdout)[0]["Config"]["Labels"] == {
        "a": "b", "io.builder.version": package.__version__}

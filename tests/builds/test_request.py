from __future__ import annotations

import pytest

from builder.builds.options import BuildOptions
from builder.builds.request import outputs_of
from builder.images.outputs import BadOutput, Output, OutputType


@pytest.mark.parametrize(("outputs", "expected"), [
    ((), [Output(type=OutputType.IMAGE, names=("r/app:1", "app"))]),
    (("type=image,push=true",), [Output(type=OutputType.IMAGE, names=("r/app:1", "app"), push=True)]),
    (("type=registry,name=x",), [Output(type=OutputType.IMAGE, names=("r/app:1", "app"), push=True)]),
])
def test_tags_name_all_outputs_as_with_buildx(outputs: tuple[str, ...], expected: list[Output]) -> None:
    assert outputs_of(BuildOptions(tags=("r/app:1", "app"), outputs=outputs)) == expected


@pytest.mark.parametrize(("tags", "output", "why"), [
    ((), "type=registry", "tag is needed when pushing to registry"),
    (("r/app:1",), "type=registry,push-by-digest=true", "a name with a tag cannot be pushed by digest"),
    ((), "type=image,name=a:b,push-by-digest=true", "a name with a tag cannot be pushed by digest"),
])
def test_names_that_cannot_be_pushed(tags: tuple[str, ...], output: str, why: str) -> None:
    with pytest.raises(BadOutput, match=why):
        outputs_of(BuildOptions(tags=tags, outputs=(output,)))

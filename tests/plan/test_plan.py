"""Golden plans: testdata/plan/<case>/Dockerfile gives plan.txt (`--update-golden` rewrites)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.language.parser import parse
from builder.lint.linter import LintConfig, Linter
from builder.oci import Descriptor, Digest, ImageConfig, MediaType, Platform, decode_config
from builder.plan.dump import dump
from builder.plan.options import NamedContext, PlanOptions
from builder.plan.planner import plan
from builder.plan.vertices import FromStore, Plan, ResolvedImage
from builder.reference import Reference
from builder.source import Source

CASES = Path(__file__).parents[2] / "testdata" / "plan"
AMD64 = Platform("amd64")
DEBIAN = {
    "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["bash"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "d" * 64]}, "history": [{"created_by": "debian"}],
}


class OneImage:
    """A world in which every image is `config`."""

    def __init__(self, config: ImageConfig) -> None:
        self._config = config

    def image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        layer = Descriptor(media_type=MediaType.OCI_LAYER, digest=Digest("sha256:" + "d" * 64), size=1)
        return ResolvedImage(name=str(reference), digest=Digest("sha256:" + "e" * 64), config=self._config,
                             layers=(layer,), origin=FromStore())

    def named_context(self, name: str, platform: Platform) -> NamedContext | None:
        return None

    def ignored(self, path: str) -> bool:
        return path == "secret.txt"


def planned(text: str, *, base: dict[str, object] | None = None, **options: object) -> tuple[Plan, Linter]:
    dockerfile = parse(Source("Dockerfile", text))
    linter = Linter(LintConfig.parse(dockerfile.directive("check") or ""))
    world = OneImage(decode_config(json.dumps(base or DEBIAN).encode()))
    wanted = PlanOptions(build_platform=AMD64, platform=AMD64, **options)  # type: ignore[arg-type]  # a test's words
    return plan(dockerfile, wanted, world, linter), linter


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_golden(case: Path, update_golden: bool) -> None:
    result, _ = planned((case / "Dockerfile").read_text())
    golden = case / "plan.txt"
    if update_golden:
        golden.write_text(dump(result))
    assert dump(result) == golden.read_text()

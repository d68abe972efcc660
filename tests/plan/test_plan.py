"""Golden plans: testdata/plan/<case>/Dockerfile gives plan.txt (`--update-golden` rewrites)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.errors import BuilderError
from builder.language.parser import parse
from builder.language.runmounts import parse_mount
from builder.lint.linter import LintConfig, Linter
from builder.oci import Descriptor, Digest, ImageConfig, MediaType, Platform, decode_config
from builder.plan.errors import PlanError
from builder.plan.outline import outline
from builder.plan.planner import plan
from builder.plan.planoptions import ImageSettings, NamedContext, PlanOptions, RunSettings
from builder.plan.plantext import dump
from builder.plan.vertices import FromStore, HostMount, MakeDirectory, Plan, ResolvedImage, Run
from builder.reference import Reference
from builder.source import Source

CASES = Path(__file__).parents[2] / "testdata" / "plan"
AMD64 = Platform("amd64")
DEBIAN = {
    "architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["bash"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "d" * 64]}, "history": [{"created_by": "debian"}],
}


class OneImage:
    """A resolver for which every image is `config`."""

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


def planned(text: str, *, base: dict[str, object] | None = None, replaced_base: str = "",
            **options: object) -> tuple[Plan, Linter]:
    dockerfile = parse(Source("Dockerfile", text))
    linter = Linter(LintConfig.parse(dockerfile.directive("check") or ""))
    resolver = OneImage(decode_config(json.dumps(base or DEBIAN).encode()))
    wanted = PlanOptions(build_platform=AMD64, platform=AMD64, base=replaced_base, **options)  # type: ignore[arg-type]  # a test's words
    return plan(dockerfile, wanted, resolver, linter), linter


@pytest.mark.parametrize("case", sorted(CASES.iterdir()), ids=lambda path: path.name)
def test_golden(case: Path, update_golden: bool) -> None:
    result, _ = planned((case / "Dockerfile").read_text())
    golden = case / "plan.txt"
    if update_golden:
        golden.write_text(dump(result))
    assert dump(result) == golden.read_text()


FROM_VARIABLE = """\
ARG WHICH=a
FROM debian AS a
RUN a
FROM debian AS b
RUN b
FROM scratch AS declared
ARG WHICH
ENV V=${WHICH} WHICH=ignored
FROM declared
COPY --from=$V /x /
"""


@pytest.mark.parametrize(("given", "ran"), [({}, "RUN a"), ({"WHICH": "b"}, "RUN b"), ({"WHICH": "B"}, "RUN b")])
def test_a_variable_names_the_stage_to_copy_from(given: dict[str, str], ran: str) -> None:
    result, _ = planned(FROM_VARIABLE, build_args=given)
    assert [vertex.name.partition("] ")[2] for vertex in result.vertices if " RUN " in vertex.name] == [ran]


def test_a_variable_without_a_value_names_no_stage() -> None:
    with pytest.raises(PlanError, match="empty value for --from from expression"):
        planned("FROM debian AS a\nFROM scratch\nCOPY --from=${NOTHING} / /\n")


def test_unused_stages_are_left_out_unless_wanted() -> None:
    text = "FROM debian AS unused\nRUN unused\nFROM debian\nRUN used\n"
    names = [[vertex.name for vertex in planned(text, unused_stages=unused)[0].vertices if " RUN " in vertex.name]
             for unused in (False, True)]
    assert names == [["[stage-1 2/2] RUN used"], ["[unused 2/2] RUN unused", "[stage-1 2/2] RUN used"]]


def test_the_first_base_can_be_replaced() -> None:
    result, _ = planned("FROM never:1 AS x\nRUN a\nFROM x\n", replaced_base="debian")
    assert "FROM docker.io/library/debian" in result.vertices[0].name


@pytest.mark.parametrize(("written", "kept", "made"), [
    ("/a/../b/", "/a/../b/", ["/b"]), ("rel/../x/", "/x", ["/x"]), ("/.", "/.", ["/"]), ("/", "/", []),
])
def test_an_absolute_working_directory_stays_as_written(written: str, kept: str, made: list[str]) -> None:
    result, _ = planned(f"FROM scratch\nWORKDIR {written}\n")
    assert result.config.config.working_dir == kept
    assert [vertex.op.path for vertex in result.vertices if isinstance(vertex.op, MakeDirectory)] == made


def test_settings_of_the_image() -> None:
    base = {**DEBIAN, "config": {"Env": ["PATH=/bin", "KEEP=1", "DROP=2"], "Labels": {"a": "1", "b": "2"}}}
    settings = ImageSettings(env={"KEEP": "3", "NEW": "4"}, unset_env=frozenset({"DROP"}),
                             unset_labels=frozenset({"a", "mine"}), labels={"given": "5"})
    result, _ = planned("FROM debian\nLABEL mine=6\n", base=base, image=settings)
    assert result.config.config.env == ("PATH=/bin", "KEEP=3", "NEW=4")
    assert result.config.config.labels == {"b": "2", "mine": "6", "given": "5"}
    result, _ = planned("FROM debian\nLABEL mine=6\n", base=base, image=ImageSettings(inherit_labels=False))
    assert result.config.config.labels == {"mine": "6"}


def test_mounts_for_all_steps_come_first() -> None:
    run = RunSettings(mounts=(parse_mount("type=bind,from=a,source=/x,target=/m"),),
                      volumes=(HostMount(target="/v", source="/h"),))
    result, _ = planned("FROM debian AS a\nFROM scratch\nRUN --mount=type=tmpfs,target=/t x\n", run=run)
    op = result.vertices[-1].op
    assert isinstance(op, Run)
    assert [mount.target for mount in op.mounts] == ["/v", "/m", "/t"]


def test_devices_are_refused() -> None:
    with pytest.raises(PlanError, match=r"RUN --device: there is no device `vendor\.com/gpu=all`"):
        planned("FROM debian\nRUN --device=vendor.com/gpu=all,required true\n")


@pytest.mark.parametrize(("line", "complaint"), [
    ("STOPSIGNAL {}", "invalid signal"), ("EXPOSE {}", "invalid containerPort"),
    ("COPY --from={} a /", "invalid refer"),
])
def test_numbers_of_any_length_are_answered(line: str, complaint: str) -> None:
    with pytest.raises(BuilderError, match=complaint):
        planned(f"FROM scratch\n{line.format('9' * 5000)}\n")


def test_long_chains_of_stages() -> None:
    stages = "".join(f"FROM s{number} AS s{number + 1}\n" for number in range(1200))
    text = f"FROM scratch AS s0\nARG FIRST=s0\n{stages}COPY --from=$FIRST a /\nRUN --mount=type=secret,id=last true\n"
    assert isinstance(planned(text)[0].vertices[-1].op, Run)
    dockerfile = parse(Source("Dockerfile", text))
    options = PlanOptions(build_platform=AMD64, platform=AMD64)
    found = outline(dockerfile, options, OneImage(decode_config(json.dumps(DEBIAN).encode())), Linter(LintConfig()))
    assert [arg.name for arg in found.args] == ["FIRST"]
    assert [secret.name for secret in found.secrets] == ["last"]


def test_a_loop_through_a_base_is_a_source_that_is_not_yet_defined() -> None:
    with pytest.raises(PlanError, match=r"cannot copy from stage \"b\", it needs to be defined before") as caught:
        planned("FROM scratch AS a\nCOPY --from=b /x /\nFROM a AS b\n")
    assert caught.value.location is not None
    assert caught.value.location.span.line == 2

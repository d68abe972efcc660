"""Layers are packed while a build goes on: which ones, and in what form."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from builder.api import Builder
from builder.builds.options import BuildOptions, BuildResult
from builder.builds.packer import Packing
from builder.images.outputs import Output
from builder.oci import Compression, ImageConfig
from builder.plan.vertices import Copy, CopySource, MakeDirectory, Plan, SourceContext, Vertex
from builder.platforms import host_platform
from builder.solver.vertex import Outcome
from builder.store import Store
from builder.store.layers import LayerId

PLAN = Plan(
    vertices=(
        Vertex(op=SourceContext(name="context"), name="context"),
        Vertex(op=MakeDirectory(path="/app"), name="below"),
        Vertex(op=MakeDirectory(path="/other"), name="another stage"),
        Vertex(op=Copy(sources=(CopySource(input=1, paths=("/",)),), destination="/", has_parent=True),
               inputs=(1, 2), name="copied over it"),
        Vertex(op=MakeDirectory(path="/last"), inputs=(3,), name="last"),
    ),
    output=4, config=ImageConfig(), history=(), platform=host_platform())


def layers(store: Store) -> dict[int, LayerId]:
    made = {}
    for vertex in range(1, 5):
        with store.stage_layer() as staged:
            Path(staged.diff, f"file{vertex}").write_text("content\n")
            made[vertex] = staged.commit(description=PLAN.vertices[vertex].name)
    return made


def packed(store: Store, layer: LayerId, compression: Compression = Compression.GZIP) -> bool:
    diff_id = store.layer_info(layer).diff_id
    return diff_id is not None and store.layer_blob(diff_id, compression) is not None


def wait_for(store: Store, layer: LayerId, compression: Compression = Compression.GZIP) -> None:
    for _ in range(1000):
        if packed(store, layer, compression):
            return
        time.sleep(0.01)
    raise AssertionError(f"{layer} was not packed")


@pytest.mark.parametrize(("output", "compression"), [
    ("type=image", Compression.GZIP),
    ("type=oci,dest=out.tar,compression=zstd", Compression.ZSTD),
])
def test_layers_below_the_last_are_packed(store: Store, output: str, compression: Compression) -> None:
    made = layers(store)
    with Packing(store, [Output.parse(output)]) as packing:
        ended = packing.watch(PLAN)
        for vertex, layer in made.items():
            ended(Outcome(vertex=vertex, state="run", layer=layer))
        for vertex in (1, 3):
            wait_for(store, made[vertex], compression)
    assert not packed(store, made[2], compression)
    assert not packed(store, made[4], compression)


@pytest.mark.parametrize(("output", "state"), [
    ("type=local,dest=out", "run"),
    ("type=oci,dest=out.tar,rewrite-timestamp=true", "run"),
    ("type=image", "cached"),
    ("type=image", "mended"),
])
def test_nothing_is_packed_that_nobody_wants(store: Store, output: str, state: str) -> None:
    made = layers(store)
    with Packing(store, [Output.parse(output)]) as packing:
        packing.watch(PLAN)(Outcome(vertex=1, state=state, layer=made[1]))
        assert all(thread.name != "packing" for thread in threading.enumerate())
    assert not packed(store, made[1])


def test_a_layer_that_is_gone_is_left_to_exporting(store: Store) -> None:
    with Packing(store, [Output.parse("type=image")]) as packing:
        packing.watch(PLAN)(Outcome(vertex=1, state="run", layer=LayerId("missing")))


@pytest.mark.parametrize("output", ["type=image", "type=oci,dest=out.tar,compression=zstd"])
@pytest.mark.parametrize("reason", [RuntimeError, KeyboardInterrupt])
def test_a_build_that_ends_early_gives_up_the_layer_in_hand(store: Store, output: str,
                                                            reason: type[BaseException]) -> None:
    """2 TiB of zeros, which nobody will export: they would take most of an hour."""
    made = layers(store)
    with open(os.path.join(store.layer_dir(made[1]), "zeros"), "wb") as file:
        file.truncate(2 << 40)
    with pytest.raises(reason), Packing(store, [Output.parse(output)]) as packing:
        packing.watch(PLAN)(Outcome(vertex=1, state="run", layer=made[1]))
        while all(thread.name != "layer-blob" for thread in threading.enumerate()):
            time.sleep(0.01)
        ended = time.monotonic()
        raise reason
    assert time.monotonic() - ended < 2
    assert not packed(store, made[1])
    assert all(thread.name != "layer-blob" for thread in threading.enumerate())


@pytest.mark.root
def test_a_copy_that_nothing_looks_at_is_only_packed(tmp_path: Path) -> None:
    """And the image is the one that is made by way of a directory."""
    context = tmp_path / "context"
    (context / "dir").mkdir(parents=True)
    (context / "dir/file").write_text("content\n")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY --chmod=0750 dir /app/\nCMD [\"/app\"]\n")

    def build(builder: Builder, *outputs: str) -> BuildResult:
        return builder.build(BuildOptions(context=str(context), tags=("app",), outputs=outputs, build_args=EPOCH))

    with Builder(root=str(tmp_path / "one")) as one, Builder(root=str(tmp_path / "other")) as other:
        only_packed = build(one)
        assert unpacked(one) == []
        size = one.inspector.profile(one.find_build()).rows[-1].size
        assert size is not None and size >= 2048, "of its tar, for there are no files yet"
        assert build(other, "type=image", f"type=local,dest={tmp_path}/out").image_id == only_packed.image_id
        assert len(unpacked(other)) == 1
        build(one, f"type=oci,dest={tmp_path}/out.tar")
        assert unpacked(one) == []
        (context / "Dockerfile").write_text("FROM app\nCOPY dir/file /app/other\nWORKDIR /app/sub\n")
        build(one, f"type=local,dest={tmp_path}/next")
    assert len(unpacked(one)) == 3
    assert sorted(os.listdir(tmp_path / "next/app")) == ["file", "other", "sub"]
    assert (tmp_path / "next/app").stat().st_mode & 0o7777 == 0o750
    assert (tmp_path / "next/app/file").read_text() == "content\n"


EPOCH = {"SOURCE_DATE_EPOCH": "1"}


def unpacked(builder: Builder) -> list[str]:
    layers = builder.store.path("layers")
    return [layer for layer in os.listdir(layers) if os.path.isdir(os.path.join(layers, layer, "diff"))]

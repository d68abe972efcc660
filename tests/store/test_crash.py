"""Whatever instant a process is killed at, the next one finds the old state or the new."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from builder.oci import digest_of
from builder.store import Store
from builder.store.fsck import FindingKind, fsck
from tests.store.children import run, start

HELLO = digest_of(b"hello")

BLOB = 'store.put_blob(b"hello")'
LAYER = 'make_layer(store, content="tree:1")'
RECORD = 'store.put_record(Record(key="k", kind="run", name="RUN x", layer=make_layer(store)))'
TAG = """
digest = store.put_blob(b"{}")
store.tag("x:1", Descriptor(media_type=MediaType.OCI_MANIFEST, digest=digest, size=2), origin="built")
"""
PRUNE = """
store.put_blob(b"hello")
store.put_record(Record(key="k", kind="run", name="RUN x", layer=make_layer(store)))
prune(store, PrunePolicy(all=True))
"""


@pytest.mark.parametrize(("point", "code"), [
    ("blob-staged", BLOB), ("blob-renamed", BLOB), ("blob-committed", BLOB),
    ("layer-staged", LAYER), ("layer-renamed", LAYER), ("layer-committed", LAYER),
    ("record-put", RECORD), ("image-tagged", TAG), ("rows-pruned", PRUNE), ("files-pruned", PRUNE),
])
def test_killed_in_between(tmp_path: Path, point: str, code: str) -> None:
    root = str(tmp_path / "root")
    status, _ = run(root, f"kill_at({point!r})\n{code}")
    assert status == -signal.SIGKILL, "the point was reached"
    with Store.open(root) as store:
        stale_index = [f for f in fsck(store) if f.is_damage]
        assert all(f.kind is FindingKind.IMAGE and point == "image-tagged" for f in stale_index)
        fsck(store, repair=True)
        assert fsck(store) == []
        assert os.listdir(store.path("stage")) in ([], [store.session.start()])
    status, _ = run(root, code)
    assert status == 0, "the same work can be done again"
    with Store.open(root) as store:
        store.sweep()
        assert fsck(store) == []


def test_blob_is_all_or_nothing(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    for point, there in (("blob-staged", False), ("blob-renamed", False), ("blob-committed", True)):
        run(root, f"kill_at({point!r})\n{BLOB}")
        with Store.open(root) as store:
            assert store.has_blob(HELLO) is there
    with Store.open(root) as store:
        assert store.read_blob(HELLO) == b"hello"


def test_layer_is_all_or_nothing(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    for point, there in (("layer-staged", False), ("layer-renamed", False), ("layer-committed", True)):
        run(root, f"kill_at({point!r})\n{LAYER}")
        with Store.open(root) as store:
            assert (store.find_content("tree:1") is not None) is there


def test_killed_while_making_the_store(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "layers").mkdir()
    (root / "secret.0123456789ab").write_bytes(b"half")
    with Store.open(str(root)) as store:
        store.put_blob(b"hello")
        assert fsck(store) == []


def test_stage_of_a_dead_process_is_swept_and_of_a_living_one_not(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    run(root, "staged = store.stage_layer(); open(staged.diff + '/file', 'w'); os.kill(os.getpid(), 9)")
    living = start(root, """
        staged = store.stage_layer()
        print(staged.diff, flush=True)
        input()
        print(staged.commit())
    """)
    assert living.stdout is not None
    staged = living.stdout.readline().strip()
    with Store.open(root) as store:
        store.sweep()
        assert os.listdir(store.path("stage")) == [Path(staged).parts[-3]]
        assert os.path.isdir(staged)
        output, _ = living.communicate("\n", timeout=60)
        assert os.listdir(store.path("layers")) == [output.strip()]


def test_build_of_a_killed_process(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    run(root, """
        build = store.begin_build(name="app")
        store.add_step(build, Step(ordinal=0, name="RUN a", outcome=Outcome.RUN))
        os.kill(os.getpid(), 9)
    """)
    with Store.open(root) as store:
        build, = store.builds()
        assert (build.name, build.state, [step.name for step in build.steps]) == ("app", "killed", ["RUN a"])

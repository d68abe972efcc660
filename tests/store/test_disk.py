from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from builder.store.disk import free_space, tree_size


def test_tree_size_counts_blocks_and_hard_links_once(tmp_path: Path) -> None:
    assert tree_size(str(tmp_path / "missing")) == 0
    empty = tree_size(str(tmp_path))
    (tmp_path / "a").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "a", tmp_path / "b")
    os.symlink("/usr", tmp_path / "link")
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(10_000_000)
    assert 100_000 <= tree_size(str(tmp_path)) - empty < 150_000


def test_free_space() -> None:
    total, free = free_space("/")
    assert 0 <= free <= total


FULL = """
import errno, os, sys
from builder.store import Store
from builder.store.disk import StoreFull
from builder.store.fsck import fsck
from builder.store.gc import PrunePolicy, prune
from builder.store.records import Record
store = Store.open(sys.argv[1])
layers = []
def make(size):
    with store.stage_layer() as staged:
        with open(staged.diff + "/file", "wb") as file:
            file.write(b"x" * size)
        layer = staged.commit()
    store.put_record(Record(key=layer, kind="run", name="RUN x", layer=layer))
    layers.append(layer)
try:
    for _ in range(10_000):
        make(200_000)
except StoreFull as error:
    print("layers:", error.code)
try:
    for n in range(10_000):
        store.put_blob(b"%d" % n + b"x" * 4096)
except StoreFull as error:
    print("blobs:", error.code, error.hint)
try:
    for n in range(10_000):
        store.put_record(Record(key=str(n), kind="run", name="x" * 4096, layer=None))
except StoreFull as error:
    print("records:", error.code)
print("kept:", all(store.has_layer(layer) for layer in layers), all(store.get_record(layer) for layer in layers))
with open(sys.argv[1] + "/filler", "wb", buffering=0) as filler:
    try:
        while True:
            filler.write(b"x" * 4096)
    except OSError as error:
        print("full:", error.errno == errno.ENOSPC, os.statvfs(sys.argv[1]).f_bavail)
store.close()
with Store.open(sys.argv[1]) as store:
    report = prune(store, PrunePolicy())
    print("pruned:", report.freed > 5_000_000)
    print([finding for finding in fsck(store) if finding.is_damage])
    layers.clear()
    make(200_000)
    print("works again:", store.has_layer(layers[0]))
"""


def test_full_disk(tmp_path: Path) -> None:
    """On a file system of 12 MB of its own: nothing finished is lost, and prune makes room without having any."""
    script = f'mount -t tmpfs -o size=12m none "{tmp_path}" && exec "{sys.executable}" -c "$1" "{tmp_path}/root"'
    done = subprocess.run(["unshare", "-m", "sh", "-ec", script, "sh", FULL], capture_output=True, text=True)
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no mount namespace: {done.stderr.strip()}")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "layers: store-full",
        "blobs: store-full free space with `builder prune`, or use another folder with `--root`",
        "records: store-full",
        "kept: True True",
        "full: True 0",
        "pruned: True",
        "[]",
        "works again: True",
    ]

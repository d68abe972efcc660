"""Several processes on one store."""

from __future__ import annotations

import os
from pathlib import Path

from builder.oci import digest_of
from builder.store import Store
from builder.store.fsck import fsck
from tests.store.children import start


def outputs(root: str, code: str, count: int = 4) -> list[str]:
    """What `count` processes print that do the same as nearly at once as starting them allows."""
    children = [start(root, f"print('ready', flush=True); input()\n{code}") for _ in range(count)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    found = []
    for child in children:
        output, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        found.append(output.strip())
    return found


def test_making_the_store(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    secrets = outputs(root, "print(store.secret.hex(), store.get_record('k'))")
    assert len(set(secrets)) == 1


def test_same_blobs_layers_and_records(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    found = outputs(root, """
for i in range(20):
    with store.lease():
        layer = make_layer(store, content=f"tree:{i}")
        store.put_record(Record(key=f"key:{i}", kind="run", name="RUN x", layer=layer), [Document("d", b"same")])
        assert store.has_layer(store.get_record(f"key:{i}").layer)
        digest = store.put_blob(b"blob" * i)
        assert store.read_blob(digest) == b"blob" * i
        print(layer, digest)
""")
    assert len(set(found)) == 1
    with Store.open(root) as store:
        assert len(os.listdir(store.path("layers"))) == 20
        assert [finding for finding in fsck(store) if finding.is_damage] == []


def test_single_flight(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    ran = outputs(root, """
with store.lock("key"):
    if store.get_record("key") is None:
        time.sleep(0.05)
        store.put_record(Record(key="key", kind="run", name="RUN x", layer=make_layer(store)))
        print("ran")
""")
    assert sorted(ran) == ["", "", "", "ran"]


def test_building_while_others_prune(tmp_path: Path) -> None:
    """What is found or made under a lease stays, though another process removes all it can all the time."""
    root = str(tmp_path / "root")
    pruner = start(root, """
print("ready", flush=True)
while not os.path.exists(store.path("stop")):
    prune(store, PrunePolicy(all=True))
""")
    assert pruner.stdout is not None
    pruner.stdout.readline()
    try:
        outputs(root, """
for i in range(60):
    with store.lease():
        record = store.get_record(f"key:{i % 5}")
        if record is None or record.layer is None or not store.has_layer(record.layer):
            layer = make_layer(store, content=f"tree:{i % 5}")
            store.put_record(Record(key=f"key:{i % 5}", kind="run", name="RUN x", layer=layer))
        else:
            layer = record.layer
        digest = store.put_blob(b"blob" * (i % 5))
        time.sleep(0.002)
        assert os.path.exists(store.layer_dir(layer) + "/file"), "the layer vanished"
        assert store.read_blob(digest) == b"blob" * (i % 5)
""", 3)
    finally:
        Path(root, "stop").touch()
        pruner.communicate(timeout=60)
    assert pruner.returncode == 0
    os.unlink(Path(root, "stop"))
    with Store.open(root) as store:
        assert [finding for finding in fsck(store) if finding.is_damage] == []


def test_tagging_while_others_prune(tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    outputs(root, """
for i in range(15):
    with store.lease():
        config = store.put_blob(encode(ImageConfig(architecture="amd64", os="linux")))
        layer = store.put_blob(b"layer %d" % i)
        manifest = encode(Manifest(config=Descriptor(media_type=MediaType.OCI_CONFIG, digest=config, size=1), layers=(
            Descriptor(media_type=MediaType.OCI_LAYER, digest=layer, size=1),)))
        digest = store.put_blob(manifest)
        descriptor = Descriptor(media_type=MediaType.OCI_MANIFEST, digest=digest, size=1)
        store.tag(f"app:{os.getpid()}", descriptor, origin="built")
    prune(store, PrunePolicy(all=True))
""", 3)
    with Store.open(root) as store:
        assert len(store.images()) == 3
        for digest in store.reachable().blobs:
            assert store.has_blob(digest)
        assert not store.has_blob(digest_of(b"layer 0"))
        assert fsck(store) == []

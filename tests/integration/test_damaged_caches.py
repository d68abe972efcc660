"""Remote caches that are damaged, or say what no builder wrote."""

from __future__ import annotations

import hashlib
import json
import re

import pytest
import zstandard

from integration.test_remote_cache import STAGES, Machines, machines, ran  # noqa: F401


def test_a_lost_layer(machines: Machines) -> None:  # noqa: F811
    cache = machines.folder / "cache"
    machines.image("one", "--cache-to", f"type=local,dest={cache}")
    index = json.loads((cache / "index.json").read_text())
    manifest = json.loads((cache / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    for layer in manifest["layers"]:
        (cache / "blobs" / layer["digest"].replace(":", "/")).unlink()
    lost = machines.build("two", "--cache-from", f"type=local,src={cache}")
    assert lost.returncode == 1
    assert "cannot take a layer from the cache" in lost.stderr
    assert "hint: rebuild without --cache-from" in lost.stderr
    one_stage = "FROM base\nRUN cat /proc/sys/kernel/random/uuid > /a\nRUN echo > /b\n"
    machines.image("one", "--cache-to", f"type=local,dest={cache}", dockerfile=one_stage)
    index = json.loads((cache / "index.json").read_text())
    manifest = json.loads((cache / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_text())
    (cache / "blobs" / manifest["layers"][0]["digest"].replace(":", "/")).write_bytes(b"damaged")
    damaged = machines.build("three", "--cache-from", f"type=local,src={cache}", dockerfile=one_stage)
    assert len(ran(damaged)) == 1
    assert "it is run instead" in damaged.stderr


@pytest.mark.parametrize("harm", [
    lambda cache: (cache / "index.json").write_text("{"),
    lambda cache: (cache / "oci-layout").unlink(),
    lambda cache: [path.write_bytes(b"x") for path in (cache / "blobs/sha256").iterdir()],
])
def test_a_damaged_cache_is_an_error_and_not_used(machines: Machines, harm: object) -> None:  # noqa: F811
    cache = machines.folder / "cache"
    machines.image("one", "--cache-to", f"type=local,dest={cache}")
    harm(cache)  # type: ignore[operator]
    built = machines.build("two", "--cache-from", f"type=local,src={cache}")
    assert len(ran(built)) == 8
    assert re.search(r"^#\d+ ERROR: ", built.stderr, re.MULTILINE)


@pytest.mark.parametrize("part", [5, "x", [None], [["a"]], {"a": [1]}, [[["a", {}]]], ["\\ud800"], ["\x1b]0;x\x07"]])
def test_explanations_of_a_hostile_cache_fail_no_build(machines: Machines, part: object) -> None:  # noqa: F811
    """Whatever stands in them: the steps run, and their reasons do no more than say less."""
    cache = machines.folder / "cache"
    machines.image("one", "--cache-to", f"type=local,dest={cache}")
    folder = cache / "blobs/sha256"

    def changed(old: dict[str, object], data: bytes) -> dict[str, object]:
        digest = hashlib.sha256(data).hexdigest()
        (folder / digest).write_bytes(data)
        return {**old, "digest": f"sha256:{digest}", "size": len(data)}

    index = json.loads((cache / "index.json").read_text())
    manifest = json.loads((folder / index["manifests"][0]["digest"].removeprefix("sha256:")).read_text())
    blob = manifest["layers"][-1]
    rows = json.loads(zstandard.decompress((folder / blob["digest"].removeprefix("sha256:")).read_bytes()))
    for row in rows:
        row["parts"] |= dict.fromkeys(row["parts"] if not isinstance(part, list) else ("cwd", "user", "argv"), part)
    text = json.dumps(rows).replace("\\\\ud800", "\\ud800")
    manifest["layers"][-1] = changed(blob, zstandard.compress(text.encode()))
    index["manifests"][0] = changed(index["manifests"][0], json.dumps(manifest).encode())
    (cache / "index.json").write_text(json.dumps(index))
    other = STAGES.replace("/kernel/random/uuid", "/kernel/random/boot_id").replace("cat /m/a.c", "cat  /m/a.c")
    built = machines.build("two", "--cache-from", f"type=local,src={cache}", dockerfile=other)
    assert len(ran(built)) == 8, built.stderr
    assert "\x1b]" not in built.stderr

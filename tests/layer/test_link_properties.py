"""Copies and mounts in random trees of links are as the kernel has it in a chroot, and show nothing of the outside."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.context.fingerprints import Sha256Digests
from builder.context.local import LocalContext
from builder.errors import BuilderError
from builder.layer.copyfile import CHANGED, SourceChanged
from builder.layer.copylayer import plan_copy
from builder.layer.view import MergedView
from builder.oci import BlobForm, Compression
from builder.plan.vertices import BindMount, Copy, CopySource
from builder.solver.lineage import selection_of
from tests.layer.link_fuzz import SECRET, Model, check_round, digest, fill
from tests.layer.trees import dump_tree

pytestmark = pytest.mark.root
ROUNDS = 12
CHUNKS = 4
SWAPS = """
import os, sys
root = sys.argv[1]
print("swapping", flush=True)
while True:
    for name in ("d", "d/e", "d/file", "top"):  # what is there, for a link that leads outside, and back
        os.rename(f"{root}/{name}", f"{root}/aside")
        os.rename(f"{root}/link-{name.replace('/', '-')}", f"{root}/{name}")
        os.rename(f"{root}/{name}", f"{root}/link-{name.replace('/', '-')}")
        os.rename(f"{root}/aside", f"{root}/{name}")
"""
COPIES = {
    "a directory": Copy(sources=(CopySource(input=0, paths=("d",)),), destination="/x/", has_parent=False),
    "a file in it": Copy(sources=(CopySource(input=0, paths=("d/e/secret",)),), destination="/x", has_parent=False),
    "a pattern": Copy(sources=(CopySource(input=0, paths=("d/*/s*", "t*")),), destination="/x/", has_parent=False),
    "parents": Copy(sources=(CopySource(input=0, paths=("d/e/secret",)),), destination="/x/", has_parent=False,
                    parents=True),
    "everything": Copy(sources=(CopySource(input=0, paths=(".",)),), destination="/x/", has_parent=False,
                       exclude=("link-*",)),
    "a mount": selection_of(BindMount(target="/x", input=0, source="/d/e")),
}


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_links_mean_what_they_mean_to_the_kernel(tmp_path: Path, chunk: int) -> None:
    fill(canary := tmp_path / "canary")
    (scratch := tmp_path / "trees").mkdir()
    compared = 0
    with Model() as model:
        for seed in range(chunk * ROUNDS, (chunk + 1) * ROUNDS):
            compared += sum(check_round(seed, scratch, canary, model))
    assert compared > 20 * ROUNDS


@pytest.mark.parametrize("replace", [
    lambda path: path.symlink_to("two"), lambda path: path.symlink_to("one"), lambda path: path.write_text("one"),
    lambda path: path.mkdir(), lambda path: None,
], ids=["another target", "the same target", "a file", "a directory", "gone"])
@pytest.mark.parametrize("packed", [False, True], ids=["written", "packed"])
def test_a_link_that_changed_after_keying_is_not_copied(tmp_path: Path, replace: Callable[[Path], object], *,
                                                        packed: bool) -> None:
    for name in ("context/d", "layer"):
        (tmp_path / name).mkdir(parents=True)
    (link := tmp_path / "context/d/link").symlink_to("one")
    plan = plan_copy(COPIES["a directory"], [LocalContext(str(tmp_path / "context"))], None)
    plan.key_parts(Sha256Digests())
    link.unlink()
    replace(link)
    with pytest.raises(SourceChanged, match="`d/link` changed while it was being copied"):
        if packed:
            plan.pack(str(tmp_path / "layer"), io.BytesIO(), BlobForm(Compression.UNCOMPRESSED))
        else:
            plan.write(str(tmp_path / "layer"))


@contextmanager
def swapped(context: Path) -> Iterator[None]:
    """A process that exchanges what is in the context for links, without end."""
    with subprocess.Popen([sys.executable, "-c", SWAPS, str(context)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
            assert process.poll() is None, "nobody swapped"
        finally:
            process.kill()


@pytest.mark.parametrize("what", COPIES)
def test_a_copy_of_what_is_swapped_for_a_link_never_holds_what_the_link_leads_to(tmp_path: Path, what: str) -> None:
    fill(canary := tmp_path / "canary")
    (context := tmp_path / "context").mkdir()
    for name in ("d/e", "top"):
        (context / name).mkdir(parents=True)
        (context / name / "secret").write_text("of the context")
    (context / "d/file").write_text("of the context")
    for name, target in (("d", canary), ("d-e", canary), ("d-file", canary / "secret"), ("top", "/proc/self/root")):
        (context / f"link-{name}").symlink_to(target)
    before, done, end = digest(canary), 0, time.monotonic() + 1
    with swapped(context):
        while time.monotonic() < end or not done:
            layer = tmp_path / "layers" / str(done)
            layer.mkdir(parents=True, exist_ok=True)
            try:
                plan = plan_copy(COPIES[what], [LocalContext(str(context))], None)
                plan.key_parts(Sha256Digests())
                plan.write(str(layer), now_ns=0)
            except BuilderError:
                pass
            except OSError as error:
                assert error.errno in CHANGED, error  # by which the engine knows that it has to look again
            else:
                done += 1
            assert SECRET not in "\n".join(dump_tree(MergedView([str(layer)])))
            layer.rename(tmp_path / "trash")
            subprocess.run(["rm", "-r", tmp_path / "trash"], check=True)
    assert digest(canary) == before

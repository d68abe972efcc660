"""Keys: golden ones, so that no key changes by accident, and the property that exactly the keyed fields count."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from builder.cache.key import decode, encode, key_of, kind_of, op_parts
from builder.oci import Descriptor, DiffID, Digest, MediaType
from builder.plan.ulimit import Ulimit
from builder.plan.vertices import (
    AnyOp,
    BindMount,
    CacheMount,
    Confinement,
    Dns,
    FromRegistry,
    FromStore,
    HostMount,
    InlineFile,
    Limits,
    Network,
    Run,
    SecretMount,
    Sharing,
    SourceGit,
    SourceHttp,
    SourceImage,
    SourceInline,
    SshMount,
    TmpfsMount,
)

GOLDEN = Path(__file__).parents[2] / "testdata" / "keys"
CASES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64
LAYER = Descriptor(media_type=MediaType.OCI_LAYER, digest=Digest(A), size=1)


@pytest.mark.parametrize("case", CASES)
def test_golden(case: str, update_golden: bool) -> None:
    """From `op.json`, and `added.json`, the parts that solving adds, must come `parts.json` and `key.txt`."""
    op = msgspec.json.decode((GOLDEN / case / "op.json").read_bytes(), type=AnyOp)
    added = GOLDEN / case / "added.json"
    parts = op_parts(op) | (decode(added.read_bytes()) if added.exists() else {})
    shown = msgspec.json.format(encode(parts), indent=2).decode() + "\n"
    key = key_of(kind_of(op), parts) + "\n"
    if update_golden:
        (GOLDEN / case / "parts.json").write_text(shown)
        (GOLDEN / case / "key.txt").write_text(key)
    assert shown == (GOLDEN / case / "parts.json").read_text()
    assert key == (GOLDEN / case / "key.txt").read_text(), "the key changed: if it should, raise cache.key.FORMAT"


RUN = Run(argv=("/bin/sh", "-c", "make"), env=("PATH=/bin", "A=1"), cwd="/src", has_parent=True)
REPLACED: list[tuple[AnyOp, dict[str, Any]]] = [
    (RUN, {
        "argv": ("/bin/sh", "-c", "make "), "env": ("A=1", "PATH=/bin"), "cwd": "/", "has_parent": False, "user": "app",
        "mounts": (TmpfsMount(target="/t"),), "files": (InlineFile("eof", "x"),), "network": Network.NONE,
        "security": "insecure", "extra_hosts": (("db", "10.0.0.1"),),
        "hostname": "box", "proxy_env": ("HTTP_PROXY=http://x",), "ulimits": (Ulimit("nofile", 1, 2),),
        "shm_size": 1, "cgroup_parent": "x", "limits": Limits(memory=1 << 30), "dns": Dns(servers=("10.0.0.1",)),
        "namespace": "/run/netns/a", "confinement": Confinement(dropped=("ALL",)), "hosts_file": False,
        "arg_names": ("A",),
    }),
    (SourceImage(diff_ids=(DiffID(A),), name="a:1", digest=Digest(A), descriptors=(LAYER,), origin=FromStore()), {
        "diff_ids": (DiffID(B),), "name": "b:1", "digest": Digest(B), "descriptors": (), "origin": FromRegistry("b:1"),
    }),
    (SourceInline(files=(InlineFile("a", "text"),)), {"files": (InlineFile("a", "text", 0o755),)}),
    (SourceHttp(url="http://a/x", filename="x"), {
        "url": "http://b/x", "filename": "y", "checksum": A, "auth_header_secret": "h", "auth_token_secret": "t",
    }),
    (SourceGit(remote="https://a/x.git"), {
        "remote": "https://b/x.git", "ref": "v1", "subdir": "d", "checksum": "abc", "keep_git_dir": True,
        "submodules": False, "mtime": "commit", "fetch_by_commit": True,
    }),
]


def key(op: AnyOp) -> str:
    return key_of(kind_of(op), op_parts(op))


@pytest.mark.parametrize(("op", "replaced"), REPLACED, ids=lambda value: type(value).__name__)
def test_exactly_the_keyed_fields_count(op: AnyOp, replaced: dict[str, Any]) -> None:
    assert set(replaced) == set(op.__struct_fields__), "each field has a replacement"
    for field, value in replaced.items():
        changed = msgspec.structs.replace(op, **{field: value})
        assert changed != op
        assert (key(changed) == key(op)) is (field in op.unkeyed), field


def test_confinement_is_keyed_by_what_it_does() -> None:
    def key_under(**fields: Any) -> str:
        return key(msgspec.structs.replace(RUN, confinement=Confinement(**fields)))

    same = {key_under(), key_under(seccomp_profile="", apparmor="")}
    others = [key_under(seccomp=False), key_under(apparmor="a"), key_under(apparmor="b"),
              *(key_under(seccomp_profile=text) for text in ("{}", "[]"))]
    assert len(same) == 1 and len(same | set(others)) == 1 + len(others)
    parts = op_parts(msgspec.structs.replace(RUN, confinement=Confinement(seccomp_profile="{}")))
    assert parts["confinement"]["seccomp"] == hashlib.sha256(b"{}").hexdigest()


MOUNTS: list[tuple[Any, dict[str, Any], set[str]]] = [
    (BindMount(target="/m", input=1), {"target": "/n", "input": 2, "source": "/x", "readonly": False},
     {"input", "source"}),
    (CacheMount(target="/m", id="a"), {
        "target": "/n", "id": "b", "sharing": Sharing.LOCKED, "input": 1, "source": "/x", "readonly": True,
        "mode": 0o700, "uid": 1, "gid": 1,
    }, {"id", "sharing", "input", "source"}),
    (TmpfsMount(target="/m"), {"target": "/n", "size": 1}, set()),
    (HostMount(target="/m", source="/h"), {"target": "/n", "source": "/i", "readonly": True}, set()),
    (SecretMount(id="a"), {"id": "b", "target": "/n", "env": "E", "required": True, "mode": 0o444, "uid": 1, "gid": 1},
     set()),
    (SshMount(), {"id": "b", "target": "/n", "required": True, "mode": 0o666, "uid": 1, "gid": 1}, set()),
]


@pytest.mark.parametrize(("mount", "replaced", "unkeyed"), MOUNTS, ids=lambda value: type(value).__name__)
def test_exactly_the_keyed_fields_of_mounts_count(mount: Any, replaced: dict[str, Any], unkeyed: set[str]) -> None:
    assert set(replaced) == set(mount.__struct_fields__)
    before = key(msgspec.structs.replace(RUN, mounts=(mount,)))
    for field, value in replaced.items():
        changed = msgspec.structs.replace(mount, **{field: value})
        assert (key(msgspec.structs.replace(RUN, mounts=(changed,))) == before) is (field in unkeyed), field


def test_addresses_of_extra_hosts_do_not_count() -> None:
    one, two = (msgspec.structs.replace(RUN, extra_hosts=(("db", address),)) for address in ("10.0.0.1", "10.0.0.2"))
    assert key(one) == key(two)


def test_framing() -> None:
    """Values cannot flow into one another."""
    keys = [key_of("run", parts) for parts in (
        {"argv": ["ab", "c"]}, {"argv": ["a", "bc"]}, {"argv": ["abc"]}, {"argv": ["a", "b", "c"]}, {"argv": "abc"},
        {"argv": [["ab"], "c"]}, {"argv": ["ab"], "cwd": "c"}, {"argv": ['ab","c']}, {"argv": ["ab", "c"], "cwd": ""},
        {"argv": 1}, {"argv": "1"}, {"argv": True}, {"argv": None}, {},
    )]
    assert len(set(keys)) == len(keys)
    assert key_of("run", {"a": 1}) != key_of("copy", {"a": 1})


def test_order_of_parts_does_not_count() -> None:
    assert key_of("run", {"a": 1, "b": [2, 3]}) == key_of("run", {"b": [2, 3], "a": 1})
    assert key_of("run", {"b": [3, 2]}) != key_of("run", {"b": [2, 3]})
    assert key_of("run", {"b": (2, 3)}) == key_of("run", {"b": [2, 3]}), "tuples are lists"


def test_lists_only_explain() -> None:
    assert key_of("copy", {"files": "d", "files.list": [["a", "b"]]}) == key_of("copy", {"files": "d"})


@pytest.mark.parametrize("name", ["\udc80", "\udcff/x", "plain", "ä", "\u2028", "\x00", "😀"])
def test_any_file_name_can_be_encoded(name: str) -> None:
    assert decode(encode({"parent": {name: "absent"}, "files.list": [(name, "x")]})) == {
        "parent": {name: "absent"}, "files.list": [[name, "x"]]}
    assert key_of("copy", {"parent": {name: "absent"}}) != key_of("copy", {"parent": {name + " ": "absent"}})

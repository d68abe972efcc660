"""What a step can observe is in its key: a new field of a step, a mount or their settings has to be decided on."""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from builder.cache.key import key_of, kind_of, op_parts
from builder.plan import vertices as v
from builder.plan.planoptions import RunSettings
from builder.plan.ulimit import Ulimit
from builder.sandbox.container import Container

MOUNTS: tuple[v.Mount, ...] = (
    v.BindMount(target="/m", input=1), v.CacheMount(target="/m", id="a"), v.TmpfsMount(target="/m"),
    v.SecretMount(id="a"), v.SshMount(), v.HostMount(target="/m", source="/h"),
)
PLAIN = v.Run(argv=("/bin/sh", "-c", "make"), env=("A=1",), cwd="/", has_parent=True)
FULL = v.Run(
    argv=("make",), env=("A=1",), arg_names=("A",), cwd="/", has_parent=True, user="app", mounts=MOUNTS,
    files=(v.InlineFile("eof", "text"),), namespace="/n", extra_hosts=(("db", "10.0.0.1"),), hostname="h",
    proxy_env=("HTTP_PROXY=p",), ulimits=(Ulimit("nofile", 1, 2),), shm_size=1, cgroup_parent="/c",
    confinement=v.Confinement(added=("A",), dropped=("B",), seccomp_profile="{}", apparmor="a", masked=("/proc/a",),
                              unmasked=("/proc/b",)),
    dns=v.Dns(servers=("10.0.0.1",), search=("a",), options=("b",)))
"""Something in every list, so that what is in them can be changed."""
EXCEPTIONS = {"extra_hosts[1]": "BuildKit's exception: an address may change while the host is the same"}
"""Leaves below the fields of a Run that are not keyed."""
FROM_ELSEWHERE = {
    "root": "the layers below are keyed", "uid": "of `user` and the layers below",
    "gid": "of `user` and the layers below", "groups": "of `user` and the layers below",
    "readonly_root": "no build sets it", "pids_limit": "no build sets it",
    "terminal": "only shells of `builder debug` get one",
}
"""Fields of a container that no field of a Run sets."""
CALLED = {
    "argv": "argv", "env": "env", "cwd": "cwd", "mounts": "mounts", "network": "network", "hostname": "hostname",
    "privileged": "security", "added_capabilities": "confinement", "dropped_capabilities": "confinement",
    "seccomp": "confinement", "seccomp_profile": "confinement", "apparmor": "confinement",
    "no_new_privileges": "confinement", "masked": "confinement", "unmasked": "confinement", "shm_size": "shm_size",
    "rlimits": "ulimits", "cgroup_parent": "cgroup_parent", "memory": "limits", "memory_swap": "limits",
    "cpu_shares": "limits", "cpu_period": "limits", "cpu_quota": "limits", "cpuset_cpus": "limits",
    "cpuset_mems": "limits",
}
"""The field of a Run that each field of a container is made from."""


def key(op: v.Run) -> str:
    return key_of(kind_of(op), op_parts(op))


def others(type_: Any, value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Values that differ from `value` in one leaf each, with the name of that leaf."""
    if isinstance(type_, types.UnionType):
        type_ = next(member for member in typing.get_args(type_) if member is not types.NoneType)
    if typing.get_origin(type_) is tuple:
        yield from members(typing.get_args(type_), value, path)
    elif issubclass(type_, msgspec.Struct):
        yield from ((name, msgspec.structs.replace(value, **{field: other}))
                    for field, name, other in changes(value, path))
    elif issubclass(type_, enum.Enum):
        yield from ((path, member) for member in type_ if member is not value)
    elif type_ is bool:
        yield path, not value
    else:
        yield path, (value or 0) + 1 if type_ is int else f"{value}x"


def members(types_of_members: tuple[Any, ...], value: tuple[Any, ...], path: str) -> Iterator[tuple[str, Any]]:
    is_list = types_of_members[-1] is Ellipsis
    if is_list:
        yield path, value[1:]
    for at, member in enumerate(value):
        name = path if is_list else f"{path}[{at}]"
        yield from ((leaf, (*value[:at], other, *value[at + 1:]))
                    for leaf, other in others(types_of_members[0 if is_list else at], member, name))


def changes(struct: msgspec.Struct, prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """(field, leaf, another value of the field) for each leaf of the struct; mounts have a test of their own."""
    hints = typing.get_type_hints(type(struct))
    for field in struct.__struct_fields__:
        value = getattr(struct, field)
        if field == "mounts":
            yield field, field, value[1:]
            continue
        yield from ((field, leaf, other) for leaf, other in others(
            hints[field], value, f"{prefix}.{field}" if prefix else field))


def test_every_leaf_of_a_step_is_keyed_or_an_exception_with_a_reason() -> None:
    seen = set()
    for field, leaf, other in changes(FULL):
        seen.add(leaf)
        changed = msgspec.structs.replace(FULL, **{field: other})
        assert changed != FULL
        assert (key(changed) == key(FULL)) is (field in v.Run.unkeyed or leaf in EXCEPTIONS), leaf
    assert seen >= {"limits.memory", "ulimits.hard", "confinement.seccomp_profile", *EXCEPTIONS}
    assert {leaf.partition(".")[0].partition("[")[0] for leaf in seen} == set(v.Run.__struct_fields__)


@pytest.mark.parametrize("mount", MOUNTS, ids=lambda mount: type(mount).__name__)
def test_every_field_of_a_mount_is_keyed_or_an_exception_with_a_reason(mount: v.Mount) -> None:
    before = key(msgspec.structs.replace(PLAIN, mounts=(mount,)))
    for field, _, other in changes(mount):
        changed = msgspec.structs.replace(mount, **{field: other})
        assert changed != mount
        assert (key(msgspec.structs.replace(PLAIN, mounts=(changed,))) == before) is (field in mount.unkeyed), field


def test_every_kind_of_mount_is_tested() -> None:
    assert {type(mount) for mount in MOUNTS} == set(typing.get_args(v.Mount))


def test_exceptions_name_fields_and_give_reasons() -> None:
    for kind in (*typing.get_args(v.AnyOp), *typing.get_args(v.Mount)):
        assert set(kind.unkeyed) <= set(kind.__struct_fields__), kind
        assert all(len(reason) > 20 for reason in kind.unkeyed.values()), kind


def test_every_setting_of_a_container_comes_from_a_field_of_the_step() -> None:
    assert set(FROM_ELSEWHERE) | set(CALLED) == set(Container.__struct_fields__), "decide where a new field comes from"
    assert set(CALLED.values()) <= set(v.Run.__struct_fields__) - set(v.Run.unkeyed)


def test_every_setting_for_all_steps_reaches_the_step() -> None:
    assert set(RunSettings.__struct_fields__) - set(v.Run.__struct_fields__) == {"volumes"}, "volumes are mounts"


def test_settings_at_their_defaults_are_no_parts() -> None:
    """So a new one of them does not make every step miss."""
    for name in ("shm_size", "ulimits", "cgroup_parent", "limits", "dns", "namespace"):
        assert name not in op_parts(PLAIN)
    assert op_parts(msgspec.structs.replace(PLAIN, shm_size=1))["shm_size"] == 1

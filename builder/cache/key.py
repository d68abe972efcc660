"""Cache keys: sha256 over a canonical encoding of (format, kind of vertex, parts).

A part has a name and a JSON-able value. `op_parts` makes those that the op itself gives; the executor adds
what it found out about the inputs. The names are a vocabulary, because misses are explained with them:

    run            argv, env (pairs in order), cwd, user, network, security, confinement, hostname, hosts, hosts_file,
                   scripts (of confinement, a seccomp profile's digest stands for it)
                   shm_size, ulimits, cgroup_parent, limits, dns, namespace, where they are not the default
                   mounts        as in the op
                   mount:TARGET  digest of what a bind mount, or the `from` of a cache mount, selects
                   parent        ids of the layers below, bottom first
    copy           sources (the paths of each), words (their last components), unpack, destination, owner (ids), mode,
                   exclude, parents, link
                   files         digest of what will be copied
                   below         all that it sees of the image below: pairs (path, what is there, in words)
    makedirectory  path, owner, below
    source...      the op's fields; content (a digest), where they do not say it all

A name that ends in `.list` is no part of the key; it only explains one that is, or names something for people:

    files.list, mount:TARGET.list    the files behind the digest: pairs (path, description); a description is the mode,
                   the owner, what stands for the bytes, and of a further name of a file its first one
    args.list      names of the variables in `env` that are build args
    base.list      name and manifest digest of the base image, and how many layers it has

All that a step can observe is keyed, but for BuildKit's exceptions: times of files, proxy variables, addresses of extra
hosts, values of secrets, ids and sharing of cache mounts, and what the machine is like (its kernel, its processors, its
own /etc/resolv.conf, whether the default network is a private one). `plan.vertices` gives the reason beside each field.
Names and places of instructions, labels and other config of the image are not keyed because no step sees them.

Digests inside parts may be xxhash fingerprints seeded by the store's secret: such a key is good on this machine only.
Before a key leaves it, every digest in it has to be sha256.
"""

from __future__ import annotations

from typing import Any, NewType, TypeAlias

import msgspec

from builder.hashing import sha256
from builder.plan.vertices import AnyOp, Confinement, Mount, Run

CacheKey = NewType("CacheKey", str)
Parts: TypeAlias = dict[str, Any]

FORMAT = 3
LIST = ".list"
_WHERE_SET = ("shm_size", "ulimits", "cgroup_parent", "limits", "dns", "namespace")
"""Fields of a Run that few builds set: a part only where they do."""
_PLAIN = Run(argv=(), env=(), cwd="", has_parent=False)


def key_of(kind: str, parts: Parts) -> CacheKey:
    """The key of a vertex of that kind. The order of parts does not matter, that of their values does."""
    keyed = {name: value for name, value in parts.items() if not name.endswith(LIST)}
    return CacheKey(sha256(encode([FORMAT, kind, keyed])).hexdigest())


def kind_of(op: AnyOp | type[AnyOp]) -> str:
    """The kind of vertex as it stands in keys and records: `run`, `copy`, ..."""
    return str(op.__struct_config__.tag)


def op_parts(op: AnyOp) -> Parts:
    """The parts that the op itself gives: its keyed fields, and what explains them."""
    return _run_parts(op) if isinstance(op, Run) else _keyed_fields(op)


def encode(value: Any) -> bytes:
    """Canonical JSON: one value, one byte string, also for file names that are not UTF-8."""
    try:
        return msgspec.json.encode(value, order="sorted")
    except UnicodeEncodeError:
        import json

        # Escapes lone surrogates, which no text that msgspec encodes can contain: still one encoding for each value.
        return json.dumps(msgspec.to_builtins(value), sort_keys=True, separators=(",", ":")).encode()


def decode(data: bytes) -> Any:
    """The value of `encode`'s bytes, with lists for tuples."""
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError:
        import json

        return json.loads(data)


def _run_parts(op: Run) -> Parts:
    parts = _keyed_fields(op)
    parts["env"] = [list(variable.partition("=")[::2]) for variable in op.env]
    parts["hosts"] = [name for name, _ in parts.pop("extra_hosts")]
    parts["scripts"] = parts.pop("files")
    parts["mounts"] = [_mount_parts(mount) for mount in op.mounts]
    parts["confinement"] = _confinement_parts(op.confinement)
    parts["args.list"] = list(op.arg_names)
    for name in _WHERE_SET:
        if getattr(op, name) == getattr(_PLAIN, name):
            del parts[name]
    return parts


def _confinement_parts(confinement: Confinement) -> Parts:
    """A seccomp profile by its digest, and what few steps have only where they have it."""
    fields: Parts = msgspec.to_builtins(confinement)
    profile, apparmor = fields.pop("seccomp_profile"), fields.pop("apparmor")
    if profile and confinement.seccomp:
        fields["seccomp"] = sha256(profile.encode()).hexdigest()
    if apparmor:
        fields["apparmor"] = apparmor
    return fields


def _mount_parts(mount: Mount) -> Parts:
    fields: Parts = msgspec.to_builtins(mount)
    return {name: value for name, value in fields.items() if name not in mount.unkeyed}


def _keyed_fields(op: AnyOp) -> Parts:
    return {name: msgspec.to_builtins(getattr(op, name)) for name in op.__struct_fields__ if name not in op.unkeyed}

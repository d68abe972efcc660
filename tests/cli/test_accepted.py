"""Nothing is accepted without effect: flags and attributes are honoured, refused by name, or have nothing to choose."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import builder.cli
from builder.cli.build_flags import FLAGS
from builder.cli.build_options import NotSupported
from builder.cli.pflag import Kind
from builder.cli.refused_flags import ONLY, REASONS
from builder.errors import UsageError
from builder.images.outputs import Output, OutputType
from tests.cli.test_build_options import options

NOTHING_TO_CHOOSE = {
    "cache-copy-layers": "copies are cached whatever is asked for, and nobody can tell from the image",
    "cleanup": "what a build leaves is in the state folder alone", "compress": "the context is not sent",
    "compressed-caching": "how memory is used", "force": "kaniko's word for running outside a container",
    "force-rm": "containers of steps are never kept", "ignore-var-run": "nothing mounts anything there",
    "kaniko-dir": "the state folder is --root", "rm": "containers of steps are never kept",
    "skip-push-permission-check": "there is no such check", "snapshot-mode": "how changes are found",
    "use-new-run": "how changes are found",
}
"""Flags of the peers about their own insides, and why no value of theirs can be told from another."""


def read_by_the_command() -> set[str]:
    """The constant strings in builder/cli outside of `Flag(...)`: the names by which values of flags are asked for."""
    found = set()
    for path in Path(builder.cli.__path__[0]).rglob("*.py"):
        tree = ast.parse(path.read_text())
        declared = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.Call)
                    and getattr(node.func, "id", "") == "Flag" for inner in ast.walk(node)}
        found |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)
                  and isinstance(node.value, str) and id(node) not in declared and path.name != "refused_flags.py"}
    return found


def test_every_flag_is_honoured_or_refused_or_has_nothing_to_choose() -> None:
    read = read_by_the_command()
    names = {flag.name for flag in FLAGS}
    assert names - read - ONLY.keys() - REASONS.keys() == NOTHING_TO_CHOOSE.keys() - (
        NOTHING_TO_CHOOSE.keys() & read)
    assert names >= ONLY.keys() | REASONS.keys() | NOTHING_TO_CHOOSE.keys()


@pytest.mark.parametrize("name", sorted(ONLY))
def test_values_that_ask_for_something_else_are_refused_by_name(name: str) -> None:
    values, _ = ONLY[name]
    for value in values:
        options(f"--{name}={value}")
    boolean = next(flag for flag in FLAGS if flag.name == name).kind is Kind.BOOL
    other = {"true": "false", "1": "false"}.get(values[0], "true") if boolean else "json"
    with pytest.raises(NotSupported, match=name):
        options(f"--{name}={other}")


@pytest.mark.parametrize(("value", "named"), [
    ("type=provenance,disabled=true,mode=max", "mode=max"), ("type=sbom,disabled=true,generator=x", "generator=x"),
    ("type=sbom,disabled=true,nonsense=1", "nonsense=1"), ("type=sbom", "type=sbom"), ("mode=max", "mode=max"),
])
def test_attributes_of_attestations_are_refused_by_name(value: str, named: str) -> None:
    with pytest.raises(NotSupported, match=named):
        options("--attest", value)
    options("--attest", "type=sbom,disabled=true")


HONOURED = {
    "compression": "zstd", "compression-level": "3", "force-compression": "true", "oci-mediatypes": "false",
    "rewrite-timestamp": "true", "source-date-epoch": "1", "annotation.a": "b", "name": "x:1", "push": "true",
    "push-by-digest": "true", "registry.insecure": "true", "name-canonical": "true", "store": "false", "tar": "false",
    "dest": "/d", "mode": "delete", "platform-split": "true",
}
REFUSED = {
    "unpack": "true", "dangling-name-prefix": "x", "danging-name-empty-only": "true", "oci-artifact": "true",
    "attestation-inline": "true", "prefer-nondist-layers": "true", "attestation-prefix": "x",
}


def attributes(kind: OutputType) -> set[str]:
    """What an output of the type may have, as it says itself when it is given something else."""
    names = {*HONOURED, *REFUSED, "annotation.a"}
    dest = ",dest=/d" if kind is OutputType.LOCAL else ""
    found = set()
    for name in names:
        try:
            Output.parse(f"type={kind}{dest},{name}={HONOURED.get(name) or REFUSED[name]}")
            found.add(name)
        except UsageError as error:
            if "has no attribute" not in error.message:
                found.add(name)
    return found


@pytest.mark.parametrize("kind", list(OutputType))
def test_every_attribute_of_an_output_changes_it_or_is_refused_by_name(kind: OutputType) -> None:
    extra = ",dest=/e" if kind is OutputType.LOCAL else ",dest=/e,tar=true" if kind in ("oci", "docker") else ""
    plain = Output.parse(f"type={kind}{extra}")
    for name in attributes(kind):
        if name in REFUSED:
            with pytest.raises(UsageError, match=f"`{name}` is not supported"):
                Output.parse(f"type={kind}{extra},{name}={REFUSED[name]}")
            if REFUSED[name] == "true":
                assert Output.parse(f"type={kind}{extra},{name}=false") == plain
        else:
            assert Output.parse(f"type={kind}{extra},{name}={HONOURED[name]}") != plain, name

"""Every flag of `builder build` either changes the key of a RUN, or no RUN can observe it, or it is an exception."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.api import Builder
from builder.cli.build_flags import FLAGS
from builder.cli.build_options import build_options
from builder.cli.pflag import parse
from builder.cli.refused_flags import REFUSED

DOCKERFILE = 'FROM scratch\nARG A\nRUN ["/x"]\n'
KEYED: dict[str, tuple[str, ...]] = {
    "add-host": ("db:10.0.0.1",), "build-arg": ("A=1", "BUILDKIT_SANDBOX_HOSTNAME=box"), "cap-add": ("SYS_ADMIN",),
    "cap-drop": ("CHOWN", "ALL"), "cgroup-parent": ("/x",), "cpu-period": ("1000",), "cpu-quota": ("1000",),
    "cpu-shares": ("2",), "cpuset-cpus": ("0",), "cpuset-mems": ("0",), "dns": ("10.0.0.1", "none"),
    "dns-option": ("ndots:1",), "dns-search": ("a.example",), "memory": ("64m",), "mount": ("type=tmpfs,target=/m",),
    "network": ("none", "private", "ns:/proc/self/ns/net"), "no-hosts": ("true",), "pids-limit": ("50", "-1"),
    "security-opt": ("seccomp=unconfined", "no-new-privileges", "mask=/proc/x", "unmask=ALL"),
    "shm-size": ("32m", "1"), "ulimit": ("nofile=1", "nofile=1:2"), "volume": ("/tmp:/m", "/tmp:/m:ro"),
}
"""Flags that a step observes, with values that differ from the default."""
WITH = {"memory-swap": ("--memory=64m", "--memory-swap=128m"), "build-arg-file": ("--build-arg-file=FILE",)}
"""Flags that need another one, or a file."""
EXCEPTIONS = {
    "http-proxy": "BuildKit's exception: proxy variables are not keyed",
    "secret": "BuildKit's exception: values of secrets are not keyed, the mounts are",
    "ssh": "BuildKit's exception: agents are not keyed, the mounts are",
}
_AS_INPUTS = """
    all-platforms arch build-context context context-sub-path custom-platform dockerfile env file from git os platform
    pull reproducible source-date-epoch target timestamp unsetenv variant
"""
"""They choose instructions, variables, layers and times; those are keyed."""
_UNOBSERVED = """
    allow annotation attest authfile builder cache cache-copy-layers cache-from cache-repo cache-run-layers
    cache-to cache-ttl call cert-dir check cleanup compress compressed-caching compression compression-format
    compression-level created-annotation creds debug-run debug-then destination digest-file
    disable-compression disable-content-trust dry-run exit-code force force-compression force-rm format
    identity-label ignore-var-run iidfile iidfile-raw image-download-retry image-fs-extract-retry
    image-name-tag-with-digest-file image-name-with-digest-file inherit-annotations inherit-labels insecure
    insecure-pull insecure-registry isolation jobs kaniko-dir label layer-label layers load log-format
    log-timestamp manifest metadata-file no-cache no-cache-filter no-hostname no-layers no-push no-push-cache
    oci-layout-path omit-history on-error output print profile progress provenance push
    push-ignore-immutable-tag-errors push-retry quiet quiet-pull registry-certificate registry-client-cert
    registry-map registry-mirror retry retry-delay rewrite-timestamp rm save-stages sbom single-snapshot
    skip-default-registry-fallback skip-push-permission-check skip-tls-verify skip-tls-verify-pull
    skip-tls-verify-registry skip-unused-stages snapshot-mode squash squash-all stage-labels tag tar-path
    tls-verify unsetannotation unsetlabel use-new-run verbosity
"""
"""What becomes of the result, caches, registries, progress: no step can see them."""


def test_every_flag_is_decided_on() -> None:
    decided = [*KEYED, *WITH, *EXCEPTIONS, *_AS_INPUTS.split(), *_UNOBSERVED.split()]
    assert len(decided) == len(set(decided))
    assert set(decided) == {flag.name for flag in FLAGS} - {flag.name for flag in REFUSED}, "can a step observe it?"


def key(root: Path, *arguments: str) -> str:
    context = root / "context"
    context.mkdir(exist_ok=True)
    (context / "Dockerfile").write_text(DOCKERFILE)
    options = build_options(parse(FLAGS, arguments)[0], str(context))
    with Builder(str(root / "state")) as builder:
        lines = builder.print_build(options, "keys").splitlines()
    return next(line.split()[1] for line in lines if " RUN " in line)


@pytest.mark.parametrize("flag", sorted(KEYED))
def test_a_flag_that_a_step_observes_changes_its_key(flag: str, tmp_path: Path) -> None:
    keys = [key(tmp_path), *(key(tmp_path, f"--{flag}={value}") for value in KEYED[flag])]
    assert len(set(keys)) == len(keys)


def test_flags_that_need_others(tmp_path: Path) -> None:
    (tmp_path / "args").write_text("A=1\n")
    arguments = [value.replace("FILE", str(tmp_path / "args")) for value in WITH["build-arg-file"]]
    assert key(tmp_path, *arguments) != key(tmp_path)
    assert key(tmp_path, *WITH["memory-swap"]) != key(tmp_path, WITH["memory-swap"][0])


def test_exceptions_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_text("x")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    keys = {key(tmp_path), key(tmp_path, "--http-proxy"), key(tmp_path, f"--secret=id=a,src={tmp_path / 's'}"),
            key(tmp_path, "--add-host=db:10.0.0.1"), key(tmp_path, "--add-host=db:10.0.0.2")}
    assert len(keys) == 2, "addresses of hosts do not count, their names do"

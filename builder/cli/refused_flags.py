"""Flags of Buildah, Podman and kaniko that are refused: doing without them silently would build something else.

Each is known by name, so that the answer is a reason and not "unknown flag".
"""

from __future__ import annotations

from builder.cli.pflag import Flag, Kind

_REASONS = {
    "annotation-file": "give each with --annotation",
    "cache-dir": "the cache is in the state folder (--root)",
    "cgroupns": "steps see the control groups of this process",
    "cpp-flag": "Dockerfiles are not preprocessed",
    "cw": "confidential workloads are not supported",
    "decryption-key": "encrypted images are not supported",
    "device": "this builder has no CDI devices; --volume binds what a step needs",
    "group-add": "steps have the groups that the image gives their user",
    "hooks-dir": "OCI hooks are not run",
    "ignore-path": "all that a step writes is part of its layer; use a cache or tmpfs mount for what is not to stay",
    "ignorefile": "name it after the Dockerfile: `<Dockerfile>.dockerignore`",
    "ipc": "steps have an IPC namespace of their own",
    "logfile": "progress goes to standard error, which the shell can send to a file",
    "logsplit": "`builder logs` prints the output of each step",
    "os-feature": "images have the features of their base",
    "os-version": "images have the version of their base",
    "pid": "steps have a PID namespace of their own",
    "policy": "source policies are not supported yet",
    "runtime-flag": "runtimes are called with their usual flags",
    "sign-by": "images are signed by tools like cosign, after the push",
    "source-policy-file": "source policies are not supported yet",
    **dict.fromkeys((
        "sbom-image-output", "sbom-image-purl-output", "sbom-merge-strategy", "sbom-output", "sbom-purl-output",
        "sbom-scanner-command", "sbom-scanner-image"), "bills of materials are not supported yet"),
    "userns": "steps run in the user namespace of this process",
    **dict.fromkeys(("userns-gid-map", "userns-gid-map-group", "userns-uid-map", "userns-uid-map-user"),
                    "steps run in the user namespace of this process"),
    "uts": "steps have a UTS namespace of their own",
}
BARE = {
    "compat-volumes": "what steps write below a volume stays, as in BuildKit",
    "stdin": "steps have an empty standard input; --on-error=debug opens a shell in one that failed",
}
"""Those that take no value; switching them off is fine."""

_ON, _OFF = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_KEPT = "finished steps are kept; --no-cache runs them again, and --squash makes one layer"
ONLY: dict[str, tuple[tuple[str, ...], str]] = {
    "cache-run-layers": (_ON, _KEPT),
    "disable-content-trust": (_ON, "signatures of images are not checked"),
    "isolation": (("default", "oci", "rootless"), "steps always have namespaces of their own"),
    "layers": (_ON, _KEPT),
    "log-format": (("text", "color"), "--progress=rawjson prints JSON"),
    "log-timestamp": (_OFF, "--progress=rawjson has the times"),
    "no-hostname": (_OFF, "steps see their host name in /etc/hostname"),
    "no-layers": (_OFF, _KEPT),
    "quiet-pull": (_OFF, "--quiet shows no progress at all"),
    "verbosity": (("info", "debug", "trace"), "--quiet shows no progress at all, --debug more"),
}
"""Flags that change nothing: the values that ask for what is so anyway, and why others are refused."""

REASONS = {**_REASONS, **BARE}
REFUSED = (*(Flag(name, "", Kind.LIST, hidden=True) for name in _REASONS),
           *(Flag(name, "", Kind.BOOL, hidden=True) for name in BARE))

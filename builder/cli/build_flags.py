"""The flags of `builder build`: docker buildx build's, and what Buildah and Podman users know."""

from __future__ import annotations

from msgspec import structs

from builder.cli.buildah_flags import BUILDAH_FLAGS
from builder.cli.kaniko_flags import KANIKO_FLAGS
from builder.cli.pflag import Flag, Kind
from builder.cli.refused_flags import REFUSED
from builder.cli.registry_flags import REGISTRY_FLAGS
from builder.cli.value_types import (
    BUILD_ARG,
    CACHE,
    COUNT,
    FILE,
    IMAGE,
    LIMIT,
    NAMED_CONTEXT,
    NUMBER,
    OUTPUT,
    PLATFORM,
    PRINTED,
    PROGRESS,
    PULL,
    SECRET,
    SIZE,
    STAGE,
    SWITCH,
    ULIMIT,
    choice,
)

RESOURCES = ("memory", "memory-swap", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems",
             "pids-limit")

_BUILDX = (
    Flag("add-host", 'Add a custom host-to-IP mapping (format: "host:ip")', Kind.COMMAS, metavar="strings"),
    Flag("allow", 'Allow an extra entitlement ("network.host", "security.insecure", "device")', Kind.LIST,
         metavar="stringArray", type=choice("network.host", "security.insecure", "device")),
    Flag("annotation", "Add an annotation to the image", Kind.LIST, metavar="stringArray"),
    Flag("attest", "Attestation parameters; only switching them off is supported", Kind.LIST, metavar="stringArray"),
    Flag("build-arg", "Set a build argument (KEY=VALUE, or KEY to take it from the environment)", Kind.LIST,
         metavar="stringArray", type=BUILD_ARG),
    Flag("build-context", "Additional build context (NAME=PATH)", Kind.LIST, metavar="stringArray", type=NAMED_CONTEXT),
    Flag("builder", 'Accepted for docker\'s scripts: there is only the builder "default"', type=choice("default")),
    Flag("cache-from", 'External cache to take steps from ("user/app:cache", "type=local,src=path/to/dir")', Kind.LIST,
         metavar="stringArray", type=CACHE),
    Flag("cache-to", 'Where to keep steps for other machines ("user/app:cache", "type=local,dest=path/to/dir")',
         Kind.LIST, metavar="stringArray", type=CACHE),
    Flag("call", 'What to do with the Dockerfile: "build", "check", "outline" or "targets", then [,format=json]; '
                 'for "check" also sarif', metavar="string", type=choice("build", "check", "outline", "targets")),
    Flag("cgroup-parent", "Parent cgroup of the RUN steps"),
    Flag("check", 'Shorthand for "--call=check"', Kind.BOOL),
    Flag("file", 'Name of the Dockerfile (default: "PATH/Dockerfile")', short="f", type=FILE),
    Flag("iidfile", "Write the image ID to a file", type=FILE),
    Flag("label", "Set a label of the image", Kind.LIST, metavar="stringArray"),
    Flag("load", 'Shorthand for "--output=type=docker"', Kind.BOOL),
    Flag("metadata-file", "Write build result metadata to a file", type=FILE),
    Flag("network", 'Network of the RUN steps: "default", "none", "host", "private" or "ns:PATH"',
         type=choice("default", "none", "host", "private", "ns:")),
    Flag("no-cache", "Run every step", Kind.BOOL),
    Flag("no-cache-filter", "Run every step of these stages", Kind.COMMAS, metavar="stringArray", type=STAGE),
    Flag("output", 'Output destination (format: "type=local,dest=path")', Kind.LIST, "o", metavar="stringArray",
         type=OUTPUT),
    Flag("platform", "Target platform", Kind.COMMAS, metavar="stringArray", type=PLATFORM),
    Flag("progress", 'Type of progress output ("auto", "none", "plain", "quiet", "rawjson", "tty")', type=PROGRESS),
    Flag("provenance", "Provenance attestation; only false is supported", Kind.OPTIONAL, type=SWITCH),
    Flag("pull", 'Pull images: "missing" (default), "always" (also --pull alone), "newer" or "never"', Kind.OPTIONAL,
         metavar="policy", type=PULL),
    Flag("push", 'Shorthand for "--output=type=registry"', Kind.BOOL),
    Flag("quiet", "Show no progress; print the image ID on success", Kind.BOOL, "q"),
    Flag("sbom", "SBOM attestation; only false is supported", Kind.OPTIONAL, type=SWITCH),
    Flag("secret", 'Secret to expose to the build (format: "id=mysecret[,src=/local/secret]")', Kind.LIST,
         metavar="stringArray", type=SECRET),
    Flag("shm-size", "Size of /dev/shm of the RUN steps", metavar="bytes", type=SIZE),
    Flag("ssh", 'SSH agent socket or keys to expose (format: "default|<id>[=<socket>|<key>[,<key>]]")', Kind.LIST,
         metavar="stringArray"),
    Flag("tag", 'Name and optionally a tag (format: "name:tag")', Kind.LIST, "t", metavar="stringArray", type=IMAGE),
    Flag("target", "Stage to build", type=STAGE),
    Flag("ulimit", "Ulimit of the RUN steps (name=soft[:hard])", Kind.LIST, metavar="ulimit", type=ULIMIT),
)
_MORE = (
    Flag("build-arg-file", "Set build arguments from a file of KEY=VALUE lines", Kind.LIST, metavar="file", type=FILE),
    Flag("cpu-period", "Limit the CPU CFS period", metavar="int", type=NUMBER),
    Flag("cpu-quota", "Limit the CPU CFS quota", metavar="int", type=NUMBER),
    Flag("cpu-shares", "CPU shares (relative weight)", short="c", metavar="int", type=NUMBER),
    Flag("cpuset-cpus", "CPUs that RUN steps may use (0-3, 0,1)"),
    Flag("cpuset-mems", "Memory nodes that RUN steps may use (0-3, 0,1)"),
    Flag("debug-run", "With --on-error=debug: a command for the failed step's shell, instead of a terminal",
         metavar="command"),
    Flag("debug-then", 'With --on-error=debug: how to go on, instead of asking ("retry", "continue" or "stop")',
         metavar="answer", type=choice("retry", "continue", "stop")),
    Flag("dry-run", "Say what would be run or fetched, and why; build nothing (as a table, or json)", Kind.OPTIONAL,
         metavar="format", type=choice("table", "json")),
    Flag("exit-code", "With --dry-run: exit with 1 unless every step would come from the cache", Kind.BOOL),
    Flag("jobs", "How many steps run at the same time", metavar="int", type=COUNT),
    Flag("memory", "Memory limit of a RUN step", short="m", metavar="bytes", type=LIMIT),
    Flag("memory-swap", "Memory plus swap limit of a RUN step; -1 for no limit", metavar="bytes", type=LIMIT),
    Flag("on-error", 'When a RUN fails: "stop" (default), or "debug" to open a shell in its container first',
         metavar="what", type=choice("stop", "debug")),
    Flag("pids-limit", "Limit of a RUN step's tasks (processes and threads); -1 for no limit", metavar="int",
         type=NUMBER),
    Flag("print", 'Print an intermediate value and build nothing: "ast", "plan" or "keys"', metavar="what",
         type=PRINTED),
    Flag("profile", "Print where the time went, at the end", Kind.BOOL),
    Flag("source-date-epoch", "Shorthand for the build argument SOURCE_DATE_EPOCH", metavar="seconds"),
)
_WITHOUT_EFFECT = tuple(
    Flag(name, "", Kind.BOOL, hidden=True) for name in ("compress", "force-rm", "layers", "no-layers", "rm"))
"""True here whatever is asked for: finished steps are kept, containers of steps never are."""

FLAGS = (*_BUILDX, *_MORE, *BUILDAH_FLAGS, *REGISTRY_FLAGS, *KANIKO_FLAGS, *_WITHOUT_EFFECT, *REFUSED)

_OF_DESCRIPTIONS = frozenset({"build-arg", "build-arg-file", "build-context", "file", "no-cache", "no-cache-filter",
                              "platform", "pull", "target"})


def describing() -> tuple[Flag, ...]:
    """For commands that look at a build without doing it: a build's own command line is accepted as it is."""
    return tuple(structs.replace(flag, hidden=flag.name not in _OF_DESCRIPTIONS) for flag in FLAGS)

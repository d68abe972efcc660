"""kaniko's names of what other flags ask for here, and those that have no meaning here."""

from __future__ import annotations

import os

from builder.cli.pflag import Flag, Kind, Values
from builder.cli.value_types import DIRECTORY, FILE, IMAGE, PLATFORM
from builder.errors import InvalidValue, UsageError

KANIKO_FLAGS = (
    Flag("cache", "Off: as --no-cache", Kind.BOOL, hidden=True),
    Flag("cache-repo", "A registry's cache, read and written (as --cache-from and --cache-to with mode=max)",
         metavar="name", hidden=True),
    Flag("compression", "As --compression-format", hidden=True),
    Flag("context", "The context, in place of the argument", hidden=True, type=DIRECTORY),
    Flag("context-sub-path", "Use this folder of the context as the context", metavar="dir", hidden=True,
         type=DIRECTORY),
    Flag("custom-platform", "As --platform", Kind.COMMAS, hidden=True, type=PLATFORM),
    Flag("destination", "Name to build under and push to", Kind.LIST, "d", metavar="name", hidden=True, type=IMAGE),
    Flag("digest-file", "Write the digest of the image to a file", metavar="file", type=FILE),
    Flag("dockerfile", "As --file", hidden=True, type=FILE),
    Flag("git", "Of a git context: branch=NAME", Kind.COMMAS, hidden=True),
    Flag("image-name-tag-with-digest-file", "Write NAME:TAG@DIGEST of each tag to a file", metavar="file", type=FILE),
    Flag("image-name-with-digest-file", "Write NAME@DIGEST of each tag to a file", metavar="file", type=FILE),
    Flag("no-push", "Push to no --destination", Kind.BOOL, hidden=True),
    Flag("no-push-cache", "Only read the --cache-repo", Kind.BOOL, hidden=True),
    Flag("oci-layout-path", "As --output type=oci,tar=false,dest=...", metavar="dir", hidden=True, type=DIRECTORY),
    Flag("reproducible", "As --timestamp 0", Kind.BOOL, hidden=True),
    Flag("tar-path", "As --output type=docker,dest=...", metavar="file", hidden=True, type=FILE),
    *(Flag(name, "", Kind.OPTIONAL, hidden=True) for name in (
        "cleanup", "force", "kaniko-dir", "ignore-var-run", "snapshot-mode", "use-new-run", "compressed-caching",
        "cache-copy-layers", "cache-run-layers", "skip-push-permission-check", "log-timestamp")),
    *(Flag(name, "", hidden=True) for name in ("verbosity", "log-format")),
)
"""The last two lines: no step can touch the builder's own files, and --progress says how the progress looks."""

_GIT = ("branch", "single-branch", "recurse-submodules")


def kaniko_context(flags: Values, context: str) -> str:
    """The context that --context and --git ask for in place of `context`. Raises InvalidValue."""
    context = flags.text("context") or context
    if not flags.given("git"):
        return context
    from builder.plan.gitref import parse_git_ref

    fields = dict(field.partition("=")[::2] for field in flags.all("git"))
    if unknown := next((key for key in fields if key not in _GIT), ""):
        raise InvalidValue(f"--git `{unknown}={fields[unknown]}` is not supported",
                           hint=f"choose one of {', '.join(_GIT)}")
    ref = parse_git_ref(context)
    if ref is None:
        raise InvalidValue(f"--git is for git contexts, and `{context}` is none")
    return f"{context}#{fields['branch']}" if fields.get("branch") and "#" not in context else context


def kaniko_dockerfile(flags: Values, context: str) -> str:
    """--dockerfile: a path here, else one in a context on this machine."""
    path = flags.text("dockerfile")
    inside = os.path.join(context.removeprefix("dir://"), flags.text("context-sub-path"), path)
    return inside if path and not os.path.exists(path) and os.path.exists(inside) else path


def kaniko_outputs(flags: Values) -> list[str]:
    """What --tar-path and --oci-layout-path ask for, as --output has it."""
    found = [f"type=docker,dest={flags.text('tar-path')}"] if flags.given("tar-path") else []
    return found + ([f"type=oci,tar=false,dest={flags.text('oci-layout-path')}"]
                    if flags.given("oci-layout-path") else [])


def cache_repo(flags: Values) -> tuple[str, ...]:
    """--cache-repo, as --cache-from has it."""
    repository = flags.text("cache-repo")
    return (f"type=registry,ref={repository}",) if repository else ()


def id_files(flags: Values) -> tuple[str, ...]:
    """The files that say which image was built."""
    return tuple(flags.text(name) for name in ("digest-file", "image-name-with-digest-file",
                                               "image-name-tag-with-digest-file"))


def digest_files(flags: Values, digest: str, names: tuple[str, ...]) -> dict[str, str]:
    """The files that tell of an image with those names, by path. Raises UsageError."""
    from builder.reference import Reference

    files = {}
    if path := flags.text("digest-file"):
        files[path] = digest
    if path := flags.text("image-name-with-digest-file"):
        files[path] = "".join(f"{Reference.parse(name).name}@{digest}\n" for name in names)
    if path := flags.text("image-name-tag-with-digest-file"):
        files[path] = "".join(f"{name}@{digest}\n" for name in names)
    if files and not digest:
        raise UsageError("a result that is no image has no digest",
                         hint="local and tar exporters are incompatible with files of digests")
    return files

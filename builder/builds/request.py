"""From a caller's options to what planning and solving take: platforms parsed, limits read, secrets found."""

from __future__ import annotations

import os
import posixpath
import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from builder.builds.networking import NetworkMode
from builder.builds.options import BuildOptions, value_of
from builder.builds.runsettings import run_settings
from builder.errors import ContextError, UsageError
from builder.golang.bool import parse_bool
from builder.golang.numbers import parse_integer
from builder.golang.times import FIRST_SECOND, LAST_SECOND, rfc3339
from builder.images.outputs import (
    Annotation,
    AnnotationTarget,
    BadOutput,
    Output,
    OutputType,
    parse_annotation,
)
from builder.oci import Digest, Platform, decode_manifest
from builder.plan.planoptions import ImageSettings, PlanOptions
from builder.plan.vertices import Network, ResolvedImage
from builder.platforms import host_platform, parse_platform
from builder.solver.resources import LOG_LIMIT
from builder.store.builds import Origin

if TYPE_CHECKING:
    from builder.context.remotecontext import RemoteSource
    from builder.remotecache.locations import CacheOptions

_INLINE_CACHE = "BUILDKIT_INLINE_CACHE"

def platforms_of(options: BuildOptions) -> tuple[Platform, ...]:
    """The wanted platforms, without repetition; none when the base image is to decide. Raises UsageError."""
    words = [word.strip() for text in options.platforms for word in text.split(",")]
    return tuple(dict.fromkeys(parse_platform(word) for word in words if word))


def outputs_of(options: BuildOptions) -> list[Output]:
    """What is to be made of the result: under the names of `--tag` where there are any, else under each output's own.

    Raises UsageError, and DestinationRefused for what could not be written once everything is built.
    """
    annotations = tuple(annotation for text in options.annotations for annotation in parse_annotation(text))
    found = []
    outputs = [value_of(Output, given) for given in options.outputs] or [Output(type=OutputType.IMAGE)]
    if options.manifest and not any(output.type is OutputType.IMAGE for output in outputs):
        outputs.append(Output(type=OutputType.IMAGE))
    for output in outputs:
        image = msgspec.structs.replace(output.image, omit_history=options.omit_history,
                                        annotations=(*output.image.annotations, *annotations))
        output = msgspec.structs.replace(output, names=options.tags or output.names, image=image)
        if output.type is OutputType.IMAGE:
            output = msgspec.structs.replace(output, list_name=options.manifest)
        if output.push and not output.names:
            raise BadOutput("type=image,push=true", "tag is needed when pushing to registry",
                            hint="add --tag, or name=REPOSITORY:TAG")
        if output.push_by_digest and any(":" in name.rpartition("/")[2] for name in output.names):
            raise BadOutput("push-by-digest=true", "a name with a tag cannot be pushed by digest")
        if output.dest:
            _check_destination(output)
        found.append(output)
    if sum(output.to_stdout for output in found) > 1:
        raise UsageError("multiple outputs configured to write to stdout", hint="give all but one a dest=PATH")
    return found


def _check_destination(output: Output) -> None:
    from builder.images.outfile import check_file, check_folder

    if output.to_folder:
        check_folder(output.dest)
    else:
        check_file(output.dest)


def plan_options(options: BuildOptions, platform: Platform | None, *, several: bool = False,
                 all_stages: bool = False) -> PlanOptions:
    """Raises UsageError for values that make no sense."""
    args = options.build_args
    host = host_platform()
    return PlanOptions(
        build_platform=host, platform=platform or host, explicit_platform=platform is not None,
        multi_platform=several or is_multi(options), target=options.target,
        build_args=dict(args), run=run_settings(options), image=_image_settings(options), base=options.base,
        no_cache=options.no_cache, no_cache_filter=frozenset(name.lower() for name in options.no_cache_filter),
        cache_namespace=args.get("BUILDKIT_CACHE_MOUNT_NS", ""), allow=_entitlements(options),
        all_stages=all_stages, unused_stages=options.unused_stages, save_stages=options.save_stages)


def _image_settings(options: BuildOptions) -> ImageSettings:
    return ImageSettings(
        labels=options.labels, env=options.env, unset_env=frozenset(options.unset_env),
        inherit_labels=options.inherit_labels, unset_labels=frozenset(options.unset_labels))


def _entitlements(options: BuildOptions) -> frozenset[str]:
    """Who asks for the host's network for all steps allows it to each, as in buildx."""
    mode = value_of(NetworkMode, options.network)
    return frozenset(options.allow) | ({"network.host"} if mode.network is Network.HOST else set())


def source_date_epoch(options: BuildOptions) -> int | None:
    """SOURCE_DATE_EPOCH among the build args, in seconds. Raises UsageError."""
    text = options.build_args.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    try:
        epoch = parse_integer(text, 64)
    except ValueError:
        raise UsageError(f"invalid SOURCE_DATE_EPOCH: {text}", hint="seconds since 1970, such as 1700000000") from None
    if not FIRST_SECOND <= epoch <= LAST_SECOND:
        hint = "it counts seconds, not milliseconds" if abs(epoch) // 1000 <= LAST_SECOND else None
        raise UsageError(f"invalid SOURCE_DATE_EPOCH: {text}: its year is not between 1 and 9999", hint=hint)
    return epoch


_REF_AND_COMMIT = r"(git://[^#]+)#[^#]+#([0-9a-f]{40})"


def log_limit(environment: Mapping[str, str]) -> int:
    """Bytes of output to keep of each step, by BuildKit's variable. Raises UsageError."""
    text = environment.get("BUILDKIT_STEP_LOG_MAX_SIZE", "")
    try:
        return int(text) if text else LOG_LIMIT
    except ValueError:
        raise UsageError(f"BUILDKIT_STEP_LOG_MAX_SIZE: `{text}` is not a number of bytes",
                         hint="set it to a number, or to -1 for no limit") from None


def origin_of(options: BuildOptions, name: str = "") -> Origin:
    """What is built, by which a later build knows earlier ones of the same."""
    context = options.context.removeprefix("dir://")
    if os.path.isdir(context):
        context = os.path.abspath(context)
    elif context != "-":
        context, folder = re.split("[?#]", context)[0], re.search(r"(?:#[^:]*:|[?&]subdir=)([^&#]*)", context)
        context = f"{context}#:{folder[1]}" if folder else context
    dockerfile = options.dockerfile
    if dockerfile and dockerfile != "-" and "://" not in dockerfile:
        dockerfile = os.path.abspath(dockerfile)
    if dockerfile == os.path.join(context, "Dockerfile"):
        dockerfile = ""
    return Origin(context=posixpath.join(context, options.context_subdir) if options.context_subdir else context,
                  dockerfile=dockerfile, tags=options.tags, name=name)


def with_local_context(options: BuildOptions, stack: ExitStack) -> BuildOptions:
    """kaniko's notations of contexts in docker's: `dir://PATH`, `tar://PATH` or `tar://stdin`, `git://...#REF#COMMIT`.

    What has to be opened for it is closed by `stack`. Raises ContextError.
    """
    context = options.context.removeprefix("dir://")
    if options.context_subdir and os.path.isdir(context):
        return msgspec.structs.replace(options, context=os.path.join(context, options.context_subdir),
                                       context_subdir="")
    if match := context.startswith("git://") and re.fullmatch(_REF_AND_COMMIT, context):
        return msgspec.structs.replace(options, context=f"{match[1]}#{match[2]}")
    if not context.startswith("tar://"):
        return msgspec.structs.replace(options, context=context)
    path = context.removeprefix("tar://")
    if path == "stdin":
        return msgspec.structs.replace(options, context="-")
    try:
        stream = stack.enter_context(open(path, "rb"))  # noqa: SIM115  closed by `stack`
    except OSError as error:
        raise ContextError(f"cannot read the context `{path}`", cause=error.strerror) from error
    return msgspec.structs.replace(options, context="-", stdin=stream)


def remote_context(options: BuildOptions) -> RemoteSource | None:
    """The source that the context is when it is not on this machine. Raises InvalidGitRef, ContextError."""
    if options.context == "-" or os.path.isdir(options.context):
        return None
    from builder.context.objectstore import object_location
    from builder.context.remotecontext import remote_source

    args = options.build_args
    return object_location(options.context) or remote_source(
        options.context, keep_git_dir=is_on(args.get("BUILDKIT_CONTEXT_KEEP_GIT_DIR", "")),
        commit_times=bool(args.get("SOURCE_DATE_EPOCH")))


def cache_options(options: BuildOptions) -> CacheOptions | None:
    """The remote caches that the options name; None where they name none. Raises BadCacheOption, UsageError."""
    if not options.cache_from and not options.cache_to and _INLINE_CACHE not in options.build_args:
        return None
    from builder.remotecache.locations import parse_caches

    return parse_caches(options.cache_from, options.cache_to, os.environ,
                        inline=is_on(options.build_args.get(_INLINE_CACHE, "")))


def created_annotation(options: BuildOptions) -> tuple[Annotation, ...]:
    """The time of the build, where it is asked for; SOURCE_DATE_EPOCH must be settled."""
    if not options.created_annotation:
        return ()
    epoch = source_date_epoch(options)
    created = rfc3339(int(time.time()) if epoch is None else epoch)
    return (Annotation(AnnotationTarget.MANIFEST, None, "org.opencontainers.image.created", created),)


def inherited_annotations(options: BuildOptions, base: ResolvedImage | None,
                          read: Callable[[Digest], bytes]) -> dict[str, str]:
    """Those of the base image's manifest, if they are to be kept; `read` gives a stored document."""
    if not options.inherit_annotations or base is None:
        return {}
    return {key: value for key, value in decode_manifest(read(base.digest)).annotations.items()
            if key not in options.unset_annotations}


def is_multi(options: BuildOptions) -> bool:
    """Whether BUILDKIT_MULTI_PLATFORM asks for the form of several platforms. Raises UsageError."""
    return is_on(options.build_args.get("BUILDKIT_MULTI_PLATFORM", ""))


def is_on(text: str) -> bool:
    """A build arg that is a switch; "" is off. Raises UsageError."""
    try:
        return bool(text) and parse_bool(text)
    except ValueError as error:
        raise UsageError(str(error)) from None

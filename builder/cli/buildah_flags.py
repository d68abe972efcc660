"""Flags of Buildah and Podman that docker buildx lacks: for all RUN steps, and for the image."""

from __future__ import annotations

import os

from builder.cli.flagvalues import image_name, key_values
from builder.cli.pflag import Flag, Kind, Values
from builder.cli.value_types import CAPABILITY, DURATION, FILE, IMAGE, NUMBER, choice
from builder.errors import InvalidValue, UsageError

BUILDAH_FLAGS = (
    Flag("all-platforms", "Build for every platform that all base images support", Kind.BOOL),
    Flag("arch", "Architecture of the image, instead of --platform"),
    Flag("cache-ttl", "Run steps again that ran longer ago than this (24h, 90m)", metavar="duration", type=DURATION),
    Flag("cap-add", "Add a capability to RUN steps", Kind.COMMAS, type=CAPABILITY),
    Flag("cap-drop", "Drop a capability from RUN steps", Kind.COMMAS, type=CAPABILITY),
    Flag("compression-format", 'Compression of new layers ("gzip", "zstd" or "uncompressed")', metavar="string",
         type=choice("gzip", "zstd", "uncompressed")),
    Flag("compression-level", "Level of that compression", metavar="int", type=NUMBER),
    Flag("created-annotation", "Annotate the image with the time of the build", Kind.BOOL),
    Flag("disable-compression", "Leave new layers uncompressed", Kind.BOOL),
    Flag("dns", "Name server of the RUN steps", Kind.COMMAS, metavar="ip"),
    Flag("dns-option", "Option in the resolv.conf of the RUN steps", Kind.COMMAS),
    Flag("dns-search", "Search domain of the RUN steps", Kind.COMMAS),
    Flag("env", "Set an environment variable of the image (KEY=VALUE, or KEY from the environment)", Kind.LIST),
    Flag("force-compression", "Compress the layers of the base again, too", Kind.BOOL),
    Flag("format", 'Format of the manifest and config ("oci" or "docker")', metavar="string",
         type=choice("oci", "docker")),
    Flag("from", "Use this image instead of the one that the first FROM names", metavar="image", type=IMAGE),
    Flag("http-proxy", "Pass the proxy variables of the environment to RUN steps", Kind.BOOL),
    Flag("identity-label", "Label the image with the version of this builder", Kind.BOOL),
    Flag("iidfile-raw", "Write the image ID to a file, without `sha256:`", type=FILE),
    Flag("inherit-annotations", "Keep the annotations of the base image", Kind.BOOL),
    Flag("inherit-labels", "Keep the labels of the base image (default true)", Kind.BOOL),
    Flag("isolation", 'Accepted: what the machine allows is found out ("default", "oci" or "rootless")',
         type=choice("default", "oci", "rootless")),
    Flag("layer-label", "With --save-stages: set a label of the images of stages", Kind.LIST, metavar="stringArray"),
    Flag("manifest", "Manifest list to add the image to, created if it does not exist", metavar="name", type=IMAGE),
    Flag("mount", "Mount for all RUN steps, as RUN's --mount has it", Kind.LIST, metavar="stringArray"),
    Flag("no-hosts", "Let RUN steps see the image's own /etc/hosts", Kind.BOOL),
    Flag("omit-history", "Omit the history of the image", Kind.BOOL),
    Flag("os", "Operating system of the image, instead of --platform"),
    Flag("rewrite-timestamp", "Set times of files that are later than SOURCE_DATE_EPOCH to it", Kind.BOOL),
    Flag("save-stages", "Keep an image of each stage that the target needs, without a name", Kind.BOOL),
    Flag("security-opt", "Security option of the RUN steps (seccomp=FILE or =unconfined, apparmor=NAME, "
                         "no-new-privileges, mask=, unmask=)",
         Kind.LIST, metavar="stringArray",
         type=choice("seccomp=", "apparmor=", "no-new-privileges", "mask=", "unmask=")),
    Flag("skip-unused-stages", "Leave out stages that the target does not need (default true)", Kind.BOOL),
    Flag("stage-labels", "With --save-stages: label the images with the stage's name and base", Kind.BOOL),
    Flag("squash", "Squash all new layers into one", Kind.BOOL),
    Flag("squash-all", "Squash all layers into one, those of the base image included", Kind.BOOL),
    Flag("timestamp", "Shorthand for --source-date-epoch with --rewrite-timestamp", metavar="seconds"),
    Flag("unsetannotation", "With --inherit-annotations: leave one of them out", Kind.COMMAS),
    Flag("unsetenv", "Leave an environment variable out of the image", Kind.COMMAS),
    Flag("unsetlabel", "Leave a label of the base image out", Kind.COMMAS),
    Flag("variant", "Variant of the architecture, with --arch"),
    Flag("volume", "Bind a path of this machine into all RUN steps (/host/path:/path[:ro])", Kind.LIST, "v",
         metavar="stringArray"),
    Flag("disable-content-trust", "", Kind.BOOL, hidden=True),
    Flag("no-hostname", "", Kind.BOOL, hidden=True),
    Flag("quiet-pull", "", Kind.BOOL, hidden=True),
    Flag("single-snapshot", "", Kind.BOOL, hidden=True),
)
_FORMATS = ("oci", "docker")
_COMPRESSIONS = {"gzip": "gzip", "zstd": "zstd", "zstd:chunked": "", "uncompressed": "uncompressed"}


def buildah_options(flags: Values) -> dict[str, object]:
    """Fields of BuildOptions. Raises UsageError for what cannot be done."""
    _check(flags)
    squash = flags.on("squash") or flags.on("single-snapshot")
    return {
        "no_hosts": flags.on("no-hosts"), "dns": flags.all("dns"), "dns_search": flags.all("dns-search"),
        "dns_options": flags.all("dns-option"), "cap_add": flags.all("cap-add"), "cap_drop": flags.all("cap-drop"),
        "security_opts": flags.all("security-opt"), "volumes": flags.all("volume"), "mounts": flags.all("mount"),
        "base": flags.text("from"), "env": key_values(flags.all("env"), from_environment=True),
        "unset_env": flags.all("unsetenv"), "inherit_labels": flags.on("inherit-labels", True),
        "unset_labels": flags.all("unsetlabel"), "inherit_annotations": flags.on("inherit-annotations"),
        "unset_annotations": flags.all("unsetannotation"),
        "manifest": image_name(flags.text("manifest")) if flags.given("manifest") else "",
        "save_stages": flags.on("save-stages"), "stage_labels": flags.on("stage-labels"),
        "layer_labels": key_values(flags.all("layer-label")), "omit_history": flags.on("omit-history"),
        "squash": "all" if flags.on("squash-all") else "new" if squash else "",
        "all_platforms": flags.on("all-platforms"),
        "cache_ttl": flags.value("cache-ttl", 0.0) if flags.given("cache-ttl") else None,
        "created_annotation": flags.on("created-annotation"),
        "unused_stages": not flags.on("skip-unused-stages", True)}


def timestamp(flags: Values) -> str:
    """What --timestamp, or kaniko's --reproducible, asks for; "" for nothing."""
    return flags.text("timestamp") or ("0" if flags.on("reproducible") else "")


def platform_of(flags: Values) -> str:
    """What --os, --arch and --variant ask for together; "" for nothing."""
    if not any(flags.given(name) for name in ("os", "arch", "variant")):
        return ""
    from builder.platforms import host_platform

    host = host_platform()
    words = [flags.text("os") or host.os, flags.text("arch") or host.architecture, flags.text("variant")]
    return "/".join(word for word in words if word)


def proxy_args(flags: Values) -> dict[str, str]:
    """The build args of --http-proxy: the environment's proxy variables."""
    if not flags.on("http-proxy"):
        return {}
    return {name: value for name, value in os.environ.items()
            if name.lower() in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy") and value}


def output_fields(flags: Values) -> tuple[str, ...]:
    """What the flags say of every output that is an image, in the fields of --output."""
    fields: list[str] = []
    kind = flags.text("format") or os.environ.get("BUILDAH_FORMAT", "")
    if kind:
        if kind not in _FORMATS:
            raise InvalidValue(f"--format `{kind}` is not known", hint="choose one of oci, docker")
        fields.append(f"oci-mediatypes={'true' if kind == 'oci' else 'false'}")
    compression = "uncompressed" if flags.on("disable-compression") else (
        flags.text("compression-format") or flags.text("compression"))
    if compression:
        if not _COMPRESSIONS.get(compression):
            raise InvalidValue(f"--compression-format `{compression}` is not supported",
                               hint="choose one of gzip, zstd, uncompressed")
        fields.append(f"compression={compression}")
    if flags.given("compression-level"):
        fields.append(f"compression-level={flags.value('compression-level', 0)}")
    if flags.on("force-compression"):
        fields.append("force-compression=true")
    if flags.on("rewrite-timestamp") or timestamp(flags):
        fields.append("rewrite-timestamp=true")
    return tuple(fields)


def _check(flags: Values) -> None:
    for name in ("stage-labels", "layer-label"):
        if (flags.given(name) if name == "layer-label" else flags.on(name)) and not flags.on("save-stages"):
            raise UsageError(f"--{name} needs --save-stages: there are no other images to label")
    if flags.on("squash") and flags.on("squash-all"):
        raise UsageError("--squash and --squash-all cannot be used together")
    if flags.on("all-platforms") and (flags.given("platform") or platform_of(flags)):
        raise UsageError("--all-platforms and --platform cannot be used together")
    if flags.given("platform") and platform_of(flags):
        raise UsageError("--platform and --os, --arch or --variant cannot be used together")
    if timestamp(flags) and flags.given("source-date-epoch"):
        raise UsageError("--timestamp and --source-date-epoch cannot be used together")

"""--all-platforms: every platform that all base images are offered for."""

from __future__ import annotations

from builder.builds.options import BuildOptions
from builder.builds.request import plan_options
from builder.builds.resolver import BuildMetaResolver
from builder.errors import UsageError
from builder.language.instructions import Dockerfile
from builder.lint.linter import LintConfig, Linter
from builder.oci import Platform
from builder.plan.planner import plan
from builder.plan.planoptions import NamedContext
from builder.plan.vertices import FromLayout, ResolvedImage
from builder.platforms import host_platform
from builder.reference import Reference


class NoCommonPlatform(UsageError):
    def __init__(self, offers: dict[str, tuple[Platform, ...]]) -> None:
        super().__init__("--all-platforms: the base images have no platform in common",
                         notes=tuple(f"`{name}` is for {', '.join(map(str, found)) or 'no platform at all'}"
                                     for name, found in offers.items()))


def offered_platforms(dockerfile: Dockerfile, options: BuildOptions, resolver: BuildMetaResolver) -> list[Platform]:
    """Those of every image that the wanted stages stand on for their target; none where they stand on no image.

    An image that a stage takes for the building machine (`FROM --platform=$BUILDPLATFORM`) has no say. Raises
    NoCommonPlatform, and what planning raises.
    """
    # Planned for another machine than this one, stages of the two can be told apart.
    target = Platform("amd64" if host_platform().architecture == "arm64" else "arm64", "linux")
    recorder = _OfferRecorder(resolver, target)
    plan(dockerfile, plan_options(options, target), recorder, Linter(LintConfig(skip_all=True)))
    first, *others = recorder.offers.values() or [()]
    common = [platform for platform in first if all(platform in other for other in others)]
    if recorder.offers and not common:
        raise NoCommonPlatform(recorder.offers)
    return common


class _OfferRecorder:
    """Records what the images for one platform are offered for. Resolves each, for whatever platform."""

    def __init__(self, resolver: BuildMetaResolver, target: Platform) -> None:
        self._resolver = resolver
        self._target = target
        self.offers: dict[str, tuple[Platform, ...]] = {}

    def image(self, reference: Reference, platform: Platform) -> ResolvedImage:
        if platform == self._target:
            offers = self.offers[str(reference)] = self._resolver.offered(reference)
            platform = next((one for one in (platform, host_platform()) if one in offers), (*offers, platform)[0])
        return self._resolver.image(reference, platform)

    def named_context(self, name: str, platform: Platform) -> NamedContext | None:
        found = self._resolver.named_context(name, platform)
        if isinstance(found, ResolvedImage) and platform == self._target and not isinstance(found.origin, FromLayout):
            self.offers[found.name] = self._resolver.offered(Reference.parse(found.name))
        return found

    def ignored(self, path: str) -> bool:
        return self._resolver.ignored(path)

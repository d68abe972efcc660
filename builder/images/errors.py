"""Images that are not there, or not what they should be."""

from __future__ import annotations

from builder.errors import ImageError
from builder.oci import Platform


class NotInStore(ImageError):
    """Asked for without the network."""

    code = "image-not-stored"

    def __init__(self, name: str, near: str = "") -> None:
        """`near` is a name like it that is stored."""
        super().__init__(f"image `{name}` is not in the store: not found",
                         hint=f"did you mean `{near}`?" if near else f"fetch it: builder pull {name}")


class NoMatchingPlatform(ImageError):
    code = "no-matching-platform"

    def __init__(self, name: str, wanted: Platform, available: tuple[str, ...]) -> None:
        super().__init__(f"`{name}`: no match for platform {wanted} in manifest: not found",
                         notes=(f"the image is for {', '.join(available) or 'no platform at all'}",))


class NotAnImage(ImageError):
    """A manifest that is something else, or that contradicts itself."""

    code = "not-an-image"

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"`{name}` is not a container image that can be used: {why}")


class LayerRefused(ImageError):
    code = "layer-type"

    def __init__(self, name: str, media_type: str, why: str) -> None:
        super().__init__(f"`{name}` has a layer of type `{media_type}`: {why}")


class LayerNotStored(ImageError):
    """An image of the store whose layer was removed, by hand or by a prune that was cut short."""

    code = "layer-not-stored"

    def __init__(self, name: str, digest: str) -> None:
        super().__init__(f"layer {digest} of `{name}` is not in the store any more",
                         hint="build, load or pull the image again")

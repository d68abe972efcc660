"""A layer blob becomes a layer directory in overlayfs form.

The blob is hostile: members land below the target directory whatever their names are (see memberpaths.py), and the
target is to be thrown away when this raises. As containerd does, a layer's entry for `/` is ignored, times outside
1970..2262 become 1970, and of extended attributes `trusted.*` is dropped.
"""

from __future__ import annotations

import os

import msgspec

from builder.errors import ImageError
from builder.layer.decompress import ByteSource, decompressor
from builder.layer.extract import Extraction, OnChownError
from builder.layer.memberpaths import MemberRefused, is_base
from builder.layer.overlay import OPAQUE_MARKER, WHITEOUT_PREFIX, XattrPrefix
from builder.layer.prefetch import Prefetch
from builder.layer.tarread import TarReader
from builder.layer.view import has_one_owner_only
from builder.oci import DiffID

_AUFS_PREFIX = WHITEOUT_PREFIX * 2
"""Names of AUFS' own bookkeeping, of which only the opaque marker has a meaning."""


class DiffIDMismatch(ImageError):
    code = "diff-id-mismatch"

    def __init__(self, what: str, expected: DiffID, actual: DiffID) -> None:
        super().__init__(
            f"{what} does not hold what the image says", notes=(f"its diff id is {actual}, not {expected}",)
        )


class Unpacked(msgspec.Struct, frozen=True, kw_only=True):
    diff_id: DiffID
    size: int
    """Bytes of the uncompressed tar."""
    implied: tuple[str, ...] = ()
    """Canonical paths of the directories that the layer does not describe; 0755 root until `inherit_attributes`."""
    skipped: tuple[str, ...] = ()
    """Devices that this process may not make."""


def on_chown_error() -> OnChownError:
    """What becomes of a layer's owners that do not exist here: recorded by a process to which only one id exists. In a
    user namespace with many, one beyond them is an error, for reading records takes time.
    """
    return "record" if has_one_owner_only() else "raise"


def unpack_layer(
    source: ByteSource,
    target_dir: str,
    *,
    xattr_prefix: XattrPrefix = "trusted",
    expected_diff_id: DiffID | None = None,
    on_chown_error: OnChownError = "raise",
    limit: int | None = None,
    what: str = "layer",
) -> Unpacked:
    """Unpacks a tar, compressed or not, into the empty directory `target_dir`, and reads `source` to its end.

    `limit` bounds the tar's size. Raises BadArchive, MemberRefused, MemberFailed, ArchiveDamaged, ArchiveTooLarge,
    ArchiveUnreadable, DiffIDMismatch (all ImageErrors) and what the source raises but OSError.
    """
    pieces = decompressor(source, what=what, limit=limit)
    with (
        Prefetch(pieces) as stream,
        Extraction(target_dir, xattr_prefix=xattr_prefix, on_chown_error=on_chown_error, pulled=True) as extraction,
    ):
        rest = iter(stream)
        reader = TarReader(rest, what)
        for member in reader:
            folder, _, last = member.name.rstrip(b"/").rpartition(b"/")
            if last.startswith(WHITEOUT_PREFIX):
                _hide(extraction, member.name, folder, last)
            elif not is_base(member.name):
                extraction.add(member, reader.data())
        for _ in rest:
            pass
        extraction.finish()
        diff_id = DiffID(stream.digest())
        size = stream.size
    if expected_diff_id is not None and diff_id != expected_diff_id:
        raise DiffIDMismatch(what, expected_diff_id, diff_id)
    root = extraction.root
    return Unpacked(diff_id=diff_id, size=size, implied=root.implied, skipped=tuple(extraction.skipped))


def _hide(extraction: Extraction, name: bytes, folder: bytes, last: bytes) -> None:
    if last == OPAQUE_MARKER:
        extraction.make_opaque(folder)
    elif not last.startswith(_AUFS_PREFIX):
        hidden = last[len(WHITEOUT_PREFIX) :]
        if hidden in (b"", b".", b".."):
            raise MemberRefused(name, "is a whiteout of nothing")
        extraction.hide(os.path.join(folder, hidden))

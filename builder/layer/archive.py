"""Archives that ADD unpacks, and build contexts that arrive as one.

What is an archive is decided by its content, as in BuildKit: a gzip, bzip2, xz, zstd or plain stream that starts with
the header of a tar member. Members land below the destination as if it were `/`: `..`, absolute names and links are
taken inside it. Omitted parents are 0755 root; owners, modes and times are the archive's; a member replaces what is
there, a directory merges and brings its attributes. `.wh.` names mean nothing here.
"""

from __future__ import annotations

import os
import stat

from builder.errors import ImageError
from builder.layer.decompress import ByteSource, decompressor
from builder.layer.extract import Extraction, MemberFailed, OnChownError
from builder.layer.memberpaths import is_base
from builder.layer.overlay import XattrPrefix
from builder.layer.prefetch import Prefetch
from builder.layer.tarread import TarReader
from builder.layer.tree import Entry, FileTree


def is_archive(entry: Entry) -> bool:
    """Whether the file `entry` (a link is none) is an archive that ADD would unpack."""
    try:
        fd = entry.open()
    except OSError:
        return False
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return False
    with open(fd, "rb", buffering=0) as file:
        try:
            return TarReader(iter(decompressor(file))).next() is not None
        except ImageError:
            return False


def extract_archive(
    source: ByteSource,
    layer_dir: str,
    destination: str,
    *,
    below: FileTree | None = None,
    owner: tuple[int, int] | None = None,
    xattr_prefix: XattrPrefix = "trusted",
    on_chown_error: OnChownError = "raise",
    limit: int | None = None,
    what: str = "archive",
) -> tuple[str, ...]:
    """Unpacks `source` into the directory `destination` of the layer directory `layer_dir`.

    What is there already stays unless a member replaces it. `below` is what the layer lies on: parents that only it has
    are copied up with their attributes, links of it are followed. `owner` (uid, gid) is that of every member, not of
    omitted parents. `limit` bounds the unpacked size. Bytes behind the archive's end are not looked at. Returns the
    devices that this process may not make. Raises BadArchive, MemberRefused, MemberFailed, ArchiveDamaged,
    ArchiveTooLarge, ArchiveUnreadable (all ImageErrors).
    """
    with Extraction(layer_dir, below=below, xattr_prefix=xattr_prefix, on_chown_error=on_chown_error) as making:
        base = _make_destination(making, destination)
    with (
        Prefetch(decompressor(source, what=what, limit=limit)) as stream,
        Extraction(
            layer_dir, base=base, below=below, owner=owner, xattr_prefix=xattr_prefix, on_chown_error=on_chown_error
        ) as extraction,
    ):
        reader = TarReader(iter(stream), what)
        for member in reader:
            if member.name.startswith(b"/") or not is_base(member.name):
                extraction.add(member, reader.data())
        extraction.finish()
        return tuple(extraction.skipped)


def unpack_context(
    source: ByteSource, context_dir: str, *, on_chown_error: OnChownError = "raise", limit: int | None = None
) -> None:
    """Unpacks a build context that came as an archive into the empty `context_dir`. Raises as extract_archive does."""
    extract_archive(source, context_dir, "", on_chown_error=on_chown_error, limit=limit, what="build context")


def _make_destination(making: Extraction, destination: str) -> str:
    """The canonical path of the destination, which is made with its parents where it is missing."""
    name = os.fsencode(destination)
    try:
        path, _ = making.root.enter(name)
    except OSError as error:
        raise MemberFailed(name, error) from error
    making.finish()
    return os.fsdecode(path)

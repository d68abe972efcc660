"""What a layer holds, without its times: the digest by which a re-run step is seen to have made the same files.

It covers path, kind, permission bits, owner, link target, device numbers, capability, bytes, which names are one file,
whiteouts and opaque directories. Every part is framed, so that no two different layers give the same stream.
"""

from __future__ import annotations

import hashlib
import stat

from builder.layer.walk import LayerEntry, file_pieces, first_name, link_target, walk_layer

_FORMAT = b"builder layer content 1\n"
_PIECE = 1 << 20


class ContentHash:
    """Fed with the entries of `walk_layer` in their order, each file's bytes after its entry."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256(_FORMAT)
        self.update = self._hash.update
        """Takes the bytes of the file whose entry came last."""

    def entry(self, entry: LayerEntry, *, same_as: bytes = b"", target: bytes = b"") -> None:
        """`same_as` is the name whose file this is another name of, `target` that of a symbolic link."""
        size = entry.status.st_size if entry.kind == stat.S_IFREG and not same_as else 0
        flags = b"w" if entry.whiteout else b"o" if entry.opaque else b"-"
        head = b"%o %o %d %d %d %d %b %d %d %d %d\n" % (
            entry.kind,
            0 if entry.whiteout else entry.mode,
            0 if entry.whiteout else entry.uid,
            0 if entry.whiteout else entry.gid,
            entry.status.st_rdev,
            size,
            flags,
            len(entry.name),
            len(same_as),
            len(target),
            len(entry.capability),
        )
        self.update(b"".join((head, entry.name, same_as, target, entry.capability)))

    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def content_digest(layer_dir: str) -> str:
    """`sha256:<hex>` of what `layer_dir` holds; the same as Packed.content. Raises LayerUnreadable."""
    content = ContentHash()
    names: dict[tuple[int, int], bytes] = {}
    buffer = memoryview(bytearray(_PIECE))
    for entry in walk_layer(layer_dir):
        first = first_name(entry, names)
        content.entry(entry, same_as=first, target=b"" if first else link_target(entry))
        if not first:
            for piece in file_pieces(entry, lambda: buffer):
                content.update(piece)
    return content.digest()

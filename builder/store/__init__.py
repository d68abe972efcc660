"""The state folder: everything that outlives a build.

Terminology: a *blob* is a file named by its sha256 (a packed layer, a config, a manifest). A *layer* is one file system
change unpacked in overlayfs form, a directory that is independent of what lies below it. A *record* says which layer
a cache key stands for. An *image* is a name for a manifest blob. A *session* is one open Store.

    <root>/
      format             "builder 1" and the xattr namespace of the layers; a newer number is refused
      secret             32 random bytes: seeds the fingerprints of local files
      reserve            a megabyte that GC gives back to have room to work on a full disk
      index.db           SQLite, WAL: layers, blobs, records and their parts, images, cache mounts, pins
      oci-layout  index.json  blobs/sha256/<hex>     together an OCI layout of the images
      layers/<id>/diff   a layer's files; layer.json beside them repeats its row, for when the index is lost.
                         Instead of diff there is `root`, an empty directory, where the files are still in a blob
      mounts/<name>/     cache mounts
      logs/<build>/      the record of a build and <vertex>.log for each step that ran
      stat/<name>        what `Store.remember` was given: files seen in folders, parsed Dockerfiles, downloads
      git/               repositories that git sources were fetched into
      stage/<session>/   everything unfinished, and `pins`: what the session uses, locked while it lives
      stage/trash-*      on its way out
      damaged/           blobs whose content is not what their name says, kept for a look until the next prune
      locks/             `commit`; `gc-stamp`, when GC last looked; one file for each named lock that is held now

Trust rule: the folder and those in it belong to the user who opens it and are closed to others, and so are those above
it; `exposure` refuses the rest before anything in it is used.

Write rule: fill a private folder in stage/, rename it into place, then commit its row. A row is a promise that the file
is there; a file without a row is nothing. Losing the rename race is success: the content is the same by name.

Lock rule: rename and row are one act under `locks/commit`, shared. A deleter takes it exclusively, so that to
delete is one act for all others: it reads the pins of the living sessions, removes rows, renames files into
stage/trash-*. To use something is: append it to one's pins and see that its row is there, under the shared lock.
Named locks and sessions are flock(2)ed files: the kernel lets go of them when their holder dies, so nothing
here depends on process ids, clocks or time limits.

Crash rule: at whatever instant a process dies, the next one finds the old state or the new. Between rename and row it
leaves a file without a row, which `fsck` and `prune` remove; inside stage/ it leaves a session without a
lock, which the next session that writes removes. SQLite undoes what was not committed.
A power cut is harsher: blobs are synced before they get their name and prove themselves when read; layers are not
synced (it would cost more than the step that made them), so those of the last half minute may be torn.

GC is the only deleter of what has a row, but for damage found while reading.

Format history
  1  first
"""

from __future__ import annotations

from builder.store.store import Store as Store

__all__ = ["Store"]

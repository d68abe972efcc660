"""The state folder.

Terminology: a *blob* is a file named by its sha256 (a compressed layer, a config, a manifest). A *layer* is one file
system change unpacked in overlayfs form, a directory that is independent of what lies below it. A *record* says which
layer a cache key stands for. An *image* is a name for a manifest blob.

    <root>/
      format             "builder 1\\n": a newer number is refused, an older one migrated
      index.db           SQLite, WAL: layers, records and their parts, images, builds, stat cache, leases
      secret             32 random bytes, mode 0600: seeds the fingerprints of local files
      oci-layout  index.json  blobs/sha256/<hex>     together a valid OCI layout
      layers/<id>/diff   the layer's files
      mounts/<id>/       cache mounts
      logs/<build>/<vertex>.log
      stage/<uuid>/      everything unfinished, swept when the process that made it is gone
      locks/             one file per lock

Write rule: fill a private folder in stage/, fsync what must last, rename it into place, then commit its row. Losing the
rename race is success: the content is the same by name. Crash rule: at whatever instant a process dies, the next one
finds the old state or the new. GC is the only deleter.

Format history
  1  first
"""

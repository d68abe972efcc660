"""The one way to hostile files: everything that a context, an image, an archive or a step has named is opened here,
beneath a directory that is held open, one component at a time and never through a link.

Links are resolved by the rules of the tree that they lie in, never by those of this machine: `walk` reads them and goes
on beneath the same root; everything else refuses them. So no link, no `..`, no magic link of /proc and no process that
swaps a directory for a link while it is being read leads outside. Nothing here depends on the length of a path.

Only the standard library is imported: the sandbox's own program uses this module too.

A walk of descriptors does what openat2(2) does with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, on every kernel, and costs
less: a directory is entered once for all the files that are looked at in it.

`root` opens canonical paths, `resolving` follows links inside, `removing` removes trees. `named` alone goes by the
rules of this machine, for paths that the caller of builder named.
"""

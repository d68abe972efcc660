"""The step cache of other machines: read from registries, OCI layouts and images, and written there.

What travels is a document (`builder.cache.document`) that maps keys which mean the same on every machine
(`builder.solver.portable`) to layer blobs.
"""

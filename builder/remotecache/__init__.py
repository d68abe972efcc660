"""The step cache of other machines: read from registries, OCI layouts and images, and written there.

What travels is a document (`builder.cache.cacheconfig`) that maps keys which mean the same on every machine
(`builder.remotecache.portable`) to layer blobs.
"""

"""Looking into builds: what a step left, what made a step run, what a build would do and which files it would take.

Terminology: a *place* is something with files to look at, a step of a recorded build or an image. Nothing here changes
a build, its record or the cache.
"""

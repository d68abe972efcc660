"""Early cut-off: a RUN that ran again and changed the same files in the same way keeps its old layer.

What follows is keyed by layers, so it is found in the cache again: `apt-get update` without news does not rebuild the
image. BuildKit has no such thing for a step's root. Times are left out of the comparison, as they are of keys.
"""

from __future__ import annotations

from builder.cache.key import kind_of
from builder.layer.comparing import same_layer
from builder.plan.vertices import Run
from builder.solver.resources import Resources
from builder.store.layers import LayerId

_CANDIDATES = 2


def same_as_before(resources: Resources, name: str, diff_dir: str) -> LayerId | None:
    """The layer that an earlier RUN of this name made, if it is equal to what is in `diff_dir` but for times."""
    store = resources.store
    for record in resources.cache.earlier(kind_of(Run), name, _CANDIDATES):
        if record.layer is not None and store.has_layer(record.layer) and same_layer(
                store.layer_dir(record.layer), diff_dir):
            return record.layer
    return None

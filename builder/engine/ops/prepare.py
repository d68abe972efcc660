"""From an op to its work: one class per kind."""

from __future__ import annotations

from collections.abc import Sequence

from builder.engine.ops.files import CopyWork, InlineWork, MakeDirectoryWork
from builder.engine.ops.run import RunWork
from builder.engine.ops.sources import GitWork, HttpWork
from builder.engine.ops.work import Work
from builder.engine.resources import Resources
from builder.engine.results import Result
from builder.oci import BlobForm
from builder.plan.vertices import AnyOp, Copy, MakeDirectory, Run, SourceGit, SourceHttp, SourceInline


def prepare(op: AnyOp, inputs: Sequence[Result], resources: Resources, form: BlobForm | None = None) -> Work:
    """The work for an op that makes a layer of its own (not: images and local contexts).

    With `form`, no step will see the layer, and the blob of that form is wanted: it may be all that is made.
    """
    match op:
        case Run():
            return RunWork(op, inputs, resources)
        case Copy():
            return CopyWork(op, inputs, resources, form)
        case MakeDirectory():
            return MakeDirectoryWork(op, inputs, resources)
        case SourceInline():
            return InlineWork(op)
        case SourceHttp():
            return HttpWork(op, resources)
        case SourceGit():
            return GitWork(op, resources)
    raise AssertionError(op)

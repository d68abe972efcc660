"""From an op to its work: one class per kind."""

from __future__ import annotations

from collections.abc import Sequence

from builder.oci import BlobForm
from builder.plan.vertices import AnyOp, Copy, MakeDirectory, Run, SourceGit, SourceHttp, SourceInline
from builder.solver.ops.exec import RunWork
from builder.solver.ops.executor import Work
from builder.solver.ops.file import CopyWork, InlineWork, MakeDirectoryWork
from builder.solver.ops.remotesource import GitWork, HttpWork
from builder.solver.resources import Resources
from builder.solver.results import Result


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

"""From an op to its executor: one class per kind."""

from __future__ import annotations

from collections.abc import Sequence

from builder.oci import BlobForm
from builder.plan.vertices import AnyOp, Copy, MakeDirectory, Run, SourceGit, SourceHttp, SourceInline
from builder.solver.ops.exec import RunExecutor
from builder.solver.ops.executor import OpExecutor
from builder.solver.ops.file import CopyExecutor, InlineExecutor, MakeDirectoryExecutor
from builder.solver.ops.remotesource import GitExecutor, HttpExecutor
from builder.solver.resources import Resources
from builder.solver.results import Result


def prepare(op: AnyOp, inputs: Sequence[Result], resources: Resources, form: BlobForm | None = None) -> OpExecutor:
    """The executor for an op that makes a layer of its own (not: images and local contexts).

    With `form`, no step will see the layer, and the blob of that form is wanted: it may be all that is made.
    """
    match op:
        case Run():
            return RunExecutor(op, inputs, resources)
        case Copy():
            return CopyExecutor(op, inputs, resources, form)
        case MakeDirectory():
            return MakeDirectoryExecutor(op, inputs, resources)
        case SourceInline():
            return InlineExecutor(op)
        case SourceHttp():
            return HttpExecutor(op, resources)
        case SourceGit():
            return GitExecutor(op, resources)
    raise AssertionError(op)

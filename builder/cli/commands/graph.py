"""`builder graph`: the steps of a build as a drawing, with what became, or would become, of each."""

from __future__ import annotations

from builder.cli.build_flags import describing
from builder.cli.command import Command, Invocation
from builder.cli.pflag import Flag
from builder.cli.value_types import BUILD, DIRECTORY, choice
from builder.errors import InvalidValue, UsageError


def run(invocation: Invocation) -> int:
    from builder.inspection.graph import graph_of_build, graph_of_forecast
    from builder.ui.drawing import FORMATS, render

    flags = invocation.flags
    form = flags.text("type", "dot")
    if form not in FORMATS:
        raise InvalidValue(f"`{form}` of --type", hint=f"choose one of {', '.join(FORMATS)}")
    if flags.given("build") and invocation.arguments:
        raise UsageError("a recorded build and a context cannot be drawn in one", hint="leave one out")
    with invocation.open() as builder:
        if flags.given("build"):
            graphs = [graph_of_build(builder.find_build(flags.text("build")))]
        else:
            from builder.cli.build_options import build_options

            context = invocation.arguments[0] if invocation.arguments else "."
            forecasts = builder.inspector.forecast(build_options(flags, context))
            graphs = [graph_of_forecast(one, f"forecast for {one.plan.platform}") for one in forecasts]
    for graph in graphs:
        print(render(graph, form), end="")
    return 0


COMMAND = Command(
    "graph", "[OPTIONS] [PATH]", run, arguments=(0, 1), takes=DIRECTORY,
    notes="Without --build, what a build of PATH (default .) would do now; nothing is run.",
    flags=(Flag("build", "Draw a recorded build: its id, or last", short="b", metavar="id", type=BUILD),
           Flag("type", 'How to draw: "dot" (default), "mermaid" or "svg"',
                type=choice("dot", "mermaid", "svg")), *describing()))

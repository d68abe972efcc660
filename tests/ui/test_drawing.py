"""Drawings of graphs: whole documents, and that no name can break out of its place."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from builder.inspection.graph import Graph, Node
from builder.ui.drawing import FORMATS, render

GRAPH = Graph("build 1", (
    Node(number=2, name="[a 1/2] FROM base", stage="a", state="cached"),
    Node(number=3, name="[a 2/2] RUN make", stage="a", state="run", seconds=2.0, inputs=(2,), critical=True),
    Node(number=4, name="[b 2/2] RUN lint", stage="b", state="run", seconds=1.0, inputs=(2,)),
    Node(number=5, name="[b 3/3] COPY --from=a x /", stage="b", state="failed", seconds=0.5, inputs=(4, 3),
         critical=True),
))


def test_dot() -> None:
    assert render(GRAPH, "dot") == """\
digraph build {
  label="build 1"; labelloc=t; rankdir=TB;
  node [shape=box, style="filled,rounded", fontname="sans-serif", fontsize=10];
  subgraph cluster_0 {
    label="a";
    2 [label="[a 1/2] FROM base\\n#2 cached", fillcolor="#dfe8df"];
    3 [label="[a 2/2] RUN make\\n#3 run, 2.0s, critical path", fillcolor="#fdf0c8", penwidth=3];
  }
  subgraph cluster_1 {
    label="b";
    4 [label="[b 2/2] RUN lint\\n#4 run, 1.0s", fillcolor="#fdf0c8"];
    5 [label="[b 3/3] COPY --from=a x /\\n#5 failed, 0.5s, critical path", fillcolor="#f9d0cd", penwidth=3];
  }
  2 -> 3;
  2 -> 4;
  4 -> 5;
  3 -> 5 [penwidth=3];
}
"""


def test_mermaid() -> None:
    assert render(GRAPH, "mermaid") == """\
---
title: "build 1"
---
flowchart TD
  n2["#91;a 1/2#93; FROM base<br/>#35;2 cached"]:::cached
  n3["#91;a 2/2#93; RUN make<br/>#35;3 run, 2.0s, critical path"]:::run
  n4["#91;b 2/2#93; RUN lint<br/>#35;4 run, 1.0s"]:::run
  n5["#91;b 3/3#93; COPY --from=a x /<br/>#35;5 failed, 0.5s, critical path"]:::failed
  n2 --> n3
  n2 --> n4
  n4 --> n5
  n3 --> n5
  classDef cached fill:#dfe8df,stroke:#555
  classDef failed fill:#f9d0cd,stroke:#555
  classDef run fill:#fdf0c8,stroke:#555
  linkStyle 3 stroke-width:4px
"""


def test_svg_boxes_do_not_overlap() -> None:
    root = ElementTree.fromstring(render(GRAPH, "svg"))
    boxes = [box for box in root.iter("{http://www.w3.org/2000/svg}rect") if box.get("x")]
    places = [(int(box.get("x", 0)), int(box.get("y", 0))) for box in boxes]
    assert len(set(places)) == len(GRAPH.nodes)
    rows = [y for _, y in places]
    assert rows[0] < rows[1] == rows[2] < rows[3]
    width, height = (int(root.get(name, 0)) for name in ("width", "height"))
    assert all(0 <= x < width and 0 <= y < height for x, y in places)
    assert sum(path.get("stroke-width") == "3" for path in root.iter("{http://www.w3.org/2000/svg}path")) == 1


@pytest.mark.parametrize("form", FORMATS)
def test_hostile_names_stay_in_their_place(form: str) -> None:
    name = 'RUN "a" <b> & \\ ]\n-->\x1b[2J"];}\u202e'
    drawn = render(Graph(name, (Node(number=1, name=name, state="run"),)), form)
    assert "\x1b" not in drawn
    assert "\u202e" not in drawn
    if form == "svg":
        assert len(list(ElementTree.fromstring(drawn).iter("{http://www.w3.org/2000/svg}g"))) == 1
    if form == "dot":
        assert drawn.count("\n") == 5
    if form == "mermaid":
        assert "-->" not in drawn.partition("flowchart")[2]
        assert drawn.splitlines()[2] == "---"


def test_an_empty_graph() -> None:
    for form in FORMATS:
        assert render(Graph("nothing", ()), form)

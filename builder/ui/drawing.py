"""A graph of steps as Graphviz dot, Mermaid or SVG.

What a state means must be readable without colours: it is in each label too. The critical path has thick edges.
"""

from __future__ import annotations

import itertools

import msgspec

from builder.golang.tabwriter import cell_width
from builder.inspection.graph import Graph, Node
from builder.ui.text import clip, printable

FORMATS = ("dot", "mermaid", "svg")
_COLORS = {"cached": "#dfe8df", "hit": "#dfe8df", "run": "#fdf0c8", "miss": "#fdf0c8", "fetch": "#d8e6f7",
           "mended": "#f3d9f0", "failed": "#f9d0cd", "cancelled": "#e6e6e6", "unknown": "#ffffff"}
_NAME = 44
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _TITLE = 330, 40, 30, 34, 16, 28


def render(graph: Graph, form: str) -> str:
    """The document, one of FORMATS."""
    match form:
        case "dot":
            return _dot(graph)
        case "mermaid":
            return _mermaid(graph)
        case _:
            return _svg(graph)


def _title(node: Node) -> str:
    name = printable(node.name.replace("\n", " "))
    return name if cell_width(name) <= _NAME else clip(name, _NAME - 1) + "…"


def _state(node: Node) -> str:
    seconds = f", {node.seconds:.1f}s" if node.seconds else ""
    return f"#{node.number} {node.state}{seconds}" + (", critical path" if node.critical else "")


def _edges(graph: Graph) -> list[tuple[int, int, bool]]:
    """From, to, and whether it is on the critical path."""
    path = [node.number for node in graph.nodes if node.critical]
    critical = set(itertools.pairwise(path))
    return [(needed, node.number, (needed, node.number) in critical)
            for node in graph.nodes for needed in dict.fromkeys(node.inputs)]


# -- dot -----------------------------------------------------------------------------------------------------------


def _dot(graph: Graph) -> str:
    lines = ["digraph build {", f"  label={_quoted(printable(graph.title))}; labelloc=t; rankdir=TB;",
             '  node [shape=box, style="filled,rounded", fontname="sans-serif", fontsize=10];']
    stages: dict[str, list[Node]] = {}
    for node in graph.nodes:
        stages.setdefault(node.stage, []).append(node)
    for number, (stage, nodes) in enumerate(stages.items()):
        boxes = [f"{node.number} [label={_quoted(_title(node))[:-1]}\\n{_quoted(_state(node))[1:]}, "
                 f'fillcolor="{_COLORS.get(node.state, "#ffffff")}"' + (", penwidth=3];" if node.critical else "];")
                 for node in nodes]
        if stage:
            lines += [f"  subgraph cluster_{number} {{", f"    label={_quoted(printable(stage))};",
                      *(f"    {box}" for box in boxes), "  }"]
        else:
            lines += [f"  {box}" for box in boxes]
    lines += [f"  {start} -> {end}" + (" [penwidth=3];" if thick else ";") for start, end, thick in _edges(graph)]
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# -- mermaid -------------------------------------------------------------------------------------------------------


def _mermaid(graph: Graph) -> str:
    lines = ["---", f"title: {_yaml(printable(graph.title))}", "---", "flowchart TD"]
    lines += [f'  n{node.number}["{_entities(_title(node))}<br/>{_entities(_state(node))}"]:::{node.state or "unknown"}'
              for node in graph.nodes]
    edges = _edges(graph)
    lines += [f"  n{start} --> n{end}" for start, end, _ in edges]
    thick = [str(number) for number, (_, _, critical) in enumerate(edges) if critical]
    states = sorted({node.state or "unknown" for node in graph.nodes})
    lines += [f"  classDef {state} fill:{_COLORS.get(state, '#ffffff')},stroke:#555" for state in states]
    if thick:
        lines.append(f"  linkStyle {','.join(thick)} stroke-width:4px")
    return "\n".join(lines) + "\n"


def _yaml(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _entities(text: str) -> str:
    """Mermaid's own way of writing characters that mean something to it: `#` and the code point."""
    return "".join(c if c.isalnum() or c in " .,:/_-=@+…" else f"#{ord(c)};" for c in text)


# -- svg -----------------------------------------------------------------------------------------------------------


class _Box(msgspec.Struct, frozen=True):
    node: Node
    x: int
    y: int


def _svg(graph: Graph) -> str:
    boxes = {box.node.number: box for box in _laid_out(graph)}
    width = max((box.x + _WIDTH for box in boxes.values()), default=_WIDTH) + _MARGIN
    height = max((box.y + _HEIGHT for box in boxes.values()), default=_HEIGHT) + _MARGIN
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
             f'height="{height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
             f'<text x="{_MARGIN}" y="20" font-size="14">{_xml(graph.title)}</text>']
    parts += [_edge(boxes[start], boxes[end], thick=thick) for start, end, thick in _edges(graph)]
    parts += [_box(box) for box in boxes.values()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _laid_out(graph: Graph) -> list[_Box]:
    """Rows by the longest way from a source; within a row near to the inputs, the first vacant column."""
    rows: dict[int, int] = {}
    taken: dict[int, set[int]] = {}
    column: dict[int, int] = {}
    boxes = []
    for node in graph.nodes:
        row = rows[node.number] = max((rows[needed] + 1 for needed in node.inputs), default=0)
        busy = taken.setdefault(row, set())
        wanted = column[node.inputs[0]] if node.inputs else 0
        while wanted in busy:
            wanted += 1
        busy.add(wanted)
        column[node.number] = wanted
        boxes.append(_Box(node, _MARGIN + wanted * (_WIDTH + _GAP_X), _TITLE + _MARGIN + row * (_HEIGHT + _GAP_Y)))
    return boxes


def _box(box: _Box) -> str:
    node = box.node
    stroke = 'stroke="#000000" stroke-width="3"' if node.critical else 'stroke="#777777"'
    return (f'<g><title>{_xml(node.name)}</title>'
            f'<rect x="{box.x}" y="{box.y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" '
            f'fill="{_COLORS.get(node.state, "#ffffff")}" {stroke}/>'
            f'<text x="{box.x + 8}" y="{box.y + 16}">{_xml(_title(node))}</text>'
            f'<text x="{box.x + 8}" y="{box.y + 32}" fill="#444444" font-size="11">{_xml(_state(node))}</text></g>')


def _edge(source: _Box, target: _Box, *, thick: bool) -> str:
    x1, y1, x2, y2 = source.x + _WIDTH // 2, source.y + _HEIGHT, target.x + _WIDTH // 2, target.y
    bend = (y2 - y1) // 2
    # Past the rows in between: a line over more than one row leaves by the side of its box.
    side = 0 if target.y - source.y <= _HEIGHT + _GAP_Y or x1 != x2 else _WIDTH // 2 + _GAP_X // 2
    stroke = 'stroke="#000000" stroke-width="3"' if thick else 'stroke="#999999"'
    return f'<path d="M{x1} {y1} C{x1 + side} {y1 + bend} {x2 + side} {y2 - bend} {x2} {y2}" fill="none" {stroke}/>'


def _xml(text: str) -> str:
    return printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")

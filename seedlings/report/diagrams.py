"""Diagrams: the layout of a dependency graph as boxes in rows, with arrows between them."""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

WIDTH = 320
BOX = (98, 30)
_ROW = 58


@dataclass(frozen=True, slots=True)
class Diagram:
    """The centre (x, y) of each box, by name, and the arrows (x1, y1, x2, y2), in pixels."""

    height: int
    boxes: dict[str, tuple[int, int]]
    arrows: list[tuple[int, int, int, int]]


def draw(needs: Mapping[str, set[str]]) -> Diagram:
    """Return the diagram of a pipeline; a box is one row below the lowest box that it depends on.

    `needs` maps each stage, in the order of the pipeline, to the earlier stages that it reads from.
    The arrows are the transitive reduction of the graph: an arrow from A to C is omitted if the
    arrows from A to B and from B to C exist.
    """
    rows: dict[str, int] = {}
    for name, above in needs.items():
        rows[name] = 1 + max((rows[other] for other in above), default=-1)
    boxes = {}
    for name, row in rows.items():
        peers = [other for other in rows if rows[other] == row]
        x = WIDTH * (2 * peers.index(name) + 1) // (2 * len(peers))
        boxes[name] = (x, row * _ROW + BOX[1])
    arrows = [
        (boxes[start][0], boxes[start][1] + BOX[1] // 2, boxes[end][0], boxes[end][1] - BOX[1] // 2)
        for end, starts in _direct(needs).items()
        for start in sorted(starts)
    ]
    return Diagram(max(rows.values()) * _ROW + 2 * BOX[1], boxes, arrows)


def _direct(needs: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the transitive reduction of the graph: the direct dependencies of each stage."""
    graph = nx.DiGraph([(name, other) for name, others in needs.items() for other in others])
    graph.add_nodes_from(needs)
    reduced = nx.transitive_reduction(graph)
    return {name: set(reduced.successors(name)) for name in needs}

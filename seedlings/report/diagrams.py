"""Diagrams: the stages of a pipeline as boxes in rows, with arrows between them."""

from collections.abc import Mapping
from dataclasses import dataclass

import networkx as nx

WIDTH = 320
BOX = (98, 30)
_ROW = 58


@dataclass(frozen=True, slots=True)
class Diagram:
    """Boxes by their names, each with its centre, and arrows as (x1, y1, x2, y2), in pixels."""

    height: int
    boxes: dict[str, tuple[int, int]]
    arrows: list[tuple[int, int, int, int]]


def draw(needs: Mapping[str, set[str]]) -> Diagram:
    """A diagram of what needs what: each box one row below the lowest box that it needs.

    `needs` names, for each stage in the pipeline's order, the earlier stages that it reads from.
    Arrows that others imply are left out.
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
    """Return for each what it needs directly: the transitive reduction of the graph."""
    graph = nx.DiGraph([(name, other) for name, others in needs.items() for other in others])
    graph.add_nodes_from(needs)
    reduced = nx.transitive_reduction(graph)
    return {name: set(reduced.successors(name)) for name in needs}

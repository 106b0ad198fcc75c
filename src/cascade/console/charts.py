"""Charts as SVG made on the server: no script, no style of their own, colours by class.

Each is decoration beside a table or figures that say the same in words.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from markupsafe import Markup, escape

from cascade.core.words import Channel

WIDTH: Final = 1_000
BAR: Final = 14
HEADING: Final = 16
"""How far the words over an end stand above it: its number may be in the middle of a bar as thin as `LEAST`."""
LINE: Final = 16
"""What the number beside a bar takes, however thin the bar: what stands below it begins there."""
LEAST: Final = 2.0
"""However few went that way, it is seen."""


class Node(NamedTuple):
    """A channel of the flow, with what came to it, how much of that it delivered, and how much nobody got after it.
    `shown` is how its numbers are written."""

    name: str
    label: str
    reached: int
    delivered: int
    lost: int
    shown: "Shown"


class Shown(NamedTuple):
    reached: str
    delivered: str


class Edge(NamedTuple):
    """So many went on from one channel to another."""

    from_: str
    to: str
    number: int


class Ends(NamedTuple):
    """What the flow ends in, as it is written beside it."""

    delivered: str
    lost: str
    lost_number: str


def bar(part: float, whole: float, css: str) -> Markup:
    """A bar of a table's row: how much of the longest one."""
    share = max(min(part / whole, 1), 0) * 100 if whole else 0
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="bar-track" width="100" height="8"/><rect class="{}" width="{}" height="8"/></svg>'
    ).format(css, f"{share:.2f}")


def stack(parts: Mapping[Channel, int], whole: float) -> Markup:
    """What each channel has of one whole, behind each other in their colours."""
    pieces = []
    x = 0.0
    for channel, part in parts.items():
        width = 100 * part / whole if whole else 0
        pieces.append(
            Markup('<rect class="c-{}" x="{}" width="{}" height="8"/>').format(
                channel.value, f"{x:.2f}", f"{width:.2f}"
            )
        )
        x += width
    return Markup(
        '<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="bar-track" width="100" height="8"/>{}</svg>'
    ).format(Markup().join(pieces))


def lines(series: Sequence[tuple[str, Sequence[float]]], height: int = 120) -> Markup:
    """One line for each series over the same times, the first as an area. All begin at 0."""
    top = max((value for _, values in series for value in values), default=0) or 1
    pieces = []
    for place, (css, values) in enumerate(series):
        step = WIDTH / max(len(values) - 1, 1)
        points = [f"{i * step:.1f},{height - value / top * (height - 4):.1f}" for i, value in enumerate(values)]
        if place == 0 and points:
            pieces.append(
                Markup('<polygon class="area {}" points="0,{} {} {},{}"/>').format(
                    css, height, " ".join(points), WIDTH, height
                )
            )
        pieces.append(Markup('<polyline class="line {}" points="{}"/>').format(css, " ".join(points)))
    return _stretched(pieces, height)


def columns(values: Sequence[float], css: str, height: int = 80) -> Markup:
    """A column for each value."""
    top = max(values, default=0) or 1
    width = WIDTH / max(len(values), 1)
    pieces = [
        Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
            css, f"{i * width + 3:.1f}", f"{height - h:.1f}", f"{width - 6:.1f}", f"{h:.1f}"
        )
        for i, value in enumerate(values)
        if (h := max(value / top * height, LEAST if value else 0)) > 0
    ]
    return _stretched(pieces, height)


def _stretched(pieces: Sequence[Markup], height: int) -> Markup:
    return Markup(
        '<svg class="lines" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        "{}</svg>"
    ).format(WIDTH, height, Markup().join(pieces))


def flow(nodes: Sequence[Node], edges: Sequence[Edge], ends: Ends) -> Markup:
    """The cascade from left to right: each channel stands lower than the one before by what that one delivered, so that
    what is delivered flows straight to the right, and what is not goes down to the next."""
    whole = max((node.reached for node in nodes), default=0)
    if not whole:
        return Markup("")
    height, gap, top = 200.0, 30.0, 40.0
    scale = height / whole
    left, right = 4.0, WIDTH - 150.0
    step = (right - left) / max(len(nodes), 1)
    place = {node.name: index for index, node in enumerate(nodes)}
    x = [left + index * step for index in range(len(nodes))]
    y = []
    above = 0.0
    for index, node in enumerate(nodes):
        y.append(top + above * scale + index * gap)
        above += node.delivered
    spent = [node.delivered * scale for node in nodes]
    filled = [0.0] * len(nodes)
    bottom = max(at + max(node.reached * scale, LINE) for at, node in zip(y, nodes, strict=True)) + 32
    lost_y = bottom
    ribbons, boxes = [], []
    for index, node in enumerate(nodes):
        if node.delivered:
            thick = max(node.delivered * scale, LEAST)
            ribbons.append(_ribbon(x[index] + BAR, y[index], right, y[index], thick, f"ribbon c-{node.name}"))
            boxes.append(_box(right, y[index], thick, "node ok"))
            boxes.append(_text(right + BAR + 8, y[index] + thick / 2 + 5, node.shown.delivered))
    for edge in sorted(edges, key=lambda one: (place[one.from_], place[one.to])):
        start, end = place[edge.from_], place[edge.to]
        thick = max(edge.number * scale, LEAST)
        from_y, to_y = y[start] + spent[start], y[end] + filled[end]
        ribbons.append(_ribbon(x[start] + BAR, from_y, x[end], to_y, thick, "ribbon on"))
        spent[start] += edge.number * scale
        filled[end] += edge.number * scale
    lost = sum(node.lost for node in nodes)
    for index, node in enumerate(nodes):
        if node.lost:
            thick = max(node.lost * scale, LEAST)
            ribbons.append(_ribbon(x[index] + BAR, y[index] + spent[index], right, lost_y, thick, "ribbon lost"))
            boxes.append(_box(right, lost_y, thick, "node bad"))
            lost_y += thick
    for index, node in enumerate(nodes):
        thick = max(node.reached * scale, LEAST)
        boxes.append(_box(x[index], y[index], thick, f"node c-{node.name}"))
        boxes.append(_text(x[index], y[index] - 8, f"{node.label} {node.shown.reached}"))
    boxes.append(_text(right, top - HEADING, ends.delivered))
    if lost:
        boxes.append(_text(right, bottom - HEADING, ends.lost))
        boxes.append(_text(right + BAR + 8, bottom + lost * scale / 2 + 5, ends.lost_number))
    total = max(bottom + lost * scale, lost_y) + 16
    return Markup('<svg class="flow" viewBox="0 0 {} {}" aria-hidden="true" focusable="false">{}{}</svg>').format(
        WIDTH, f"{total:.0f}", Markup().join(ribbons), Markup().join(boxes)
    )


def _ribbon(x: float, y: float, to_x: float, to_y: float, thick: float, css: str) -> Markup:
    middle = (x + to_x) / 2
    path = (
        f"M{x:.1f},{y:.1f} C{middle:.1f},{y:.1f} {middle:.1f},{to_y:.1f} {to_x:.1f},{to_y:.1f} "
        f"L{to_x:.1f},{to_y + thick:.1f} C{middle:.1f},{to_y + thick:.1f} {middle:.1f},{y + thick:.1f} "
        f"{x:.1f},{y + thick:.1f} Z"
    )
    return Markup('<path class="{}" d="{}"/>').format(css, path)


def _box(x: float, y: float, height: float, css: str) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"/>').format(
        css, f"{x:.1f}", f"{y:.1f}", BAR, f"{height:.1f}"
    )


def _text(x: float, y: float, text: str) -> Markup:
    return Markup('<text x="{}" y="{}">{}</text>').format(f"{x:.1f}", f"{y:.1f}", escape(text))

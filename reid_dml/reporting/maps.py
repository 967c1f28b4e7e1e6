"""Maps of points: coloured by what they show, shaped by where it was seen, named beside each group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from reid_dml.reporting.figures import draw_panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito, "Color Universal Design" (2008), without black.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#8C6D1F", "#5B5B5B")
SHAPES = ("o", "^", "s", "D", "v", "P", "X", "*", "<", ">")  # of matplotlib

_IMAGE_HEIGHT = 24  # points of the figure


def draw_maps(
    maps: Mapping[str, np.ndarray],
    groups: np.ndarray,
    shapes: np.ndarray,
    *,
    title: str,
    group_names: Sequence[str],
    shape_names: Sequence[str],
    same_axes: bool = False,
    images: Sequence[np.ndarray | None] = (),
) -> str:
    """Maps side by side as one SVG element; colours repeat after eight groups, each group's name stands at its centre.

    Args:
        maps: (N, 2) by title.
        groups: (N,) number of the group of each point, its colour.
        shapes: (N,) number of its shape.
        title: of the figure.
        group_names: of the groups.
        shape_names: of the shapes, for the legend.
        same_axes: the maps are parts of one map.
        images: (H, W, 3) uint8 RGB of each point, shown above it in a frame of its colour; None: there is none.
    """
    columns = 2 if len(maps) == 4 else min(len(maps), 3)
    rows = -(-len(maps) // columns)
    everything = np.concatenate(list(maps.values()))

    def draw(panels: Sequence[Axes]) -> None:
        for axes in panels:
            axes.set_axis_off()
        for axes, (label, places) in zip(panels, maps.items(), strict=False):
            axes.set_axis_on()
            for shape in np.unique(shapes):
                chosen = shapes == shape
                axes.scatter(
                    places[chosen, 0],
                    places[chosen, 1],
                    s=16,
                    c=[COLOURS[group % len(COLOURS)] for group in groups[chosen]],
                    marker=SHAPES[shape % len(SHAPES)],
                    linewidths=0.3,
                    edgecolors="white",
                )
            for image, place, group in zip(images, places, groups, strict=False):
                if image is not None:
                    _put_image(axes, image, place, COLOURS[group % len(COLOURS)])
            for group in np.unique(groups):
                middle = np.median(places[groups == group], axis=0)
                box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
                axes.text(
                    middle[0], middle[1], group_names[group], fontsize=7, ha="center", va="center", bbox=box, zorder=9
                )
            axes.set(xticks=[], yticks=[])
            axes.set_title(label.replace(", ", "\n", 1), fontsize=9)  # of a run and its network
            axes.grid(False)
            low, high = _limits(everything if same_axes else places, above=bool(images))
            axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        if len(shape_names) > 1:
            handles = [
                panels[0].scatter([], [], s=16, c="0.35", marker=SHAPES[number % len(SHAPES)], label=name)
                for number, name in enumerate(shape_names)
            ]
            panels[0].figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 8), fontsize=8)
        panels[0].figure.suptitle(title, fontsize=10)

    side = 6.5 if images else 3.6
    return draw_panels(draw, title, size=((side + 0.1) * columns, side * rows + 0.7), grid=(rows, columns))


def _limits(places: np.ndarray, *, above: bool) -> tuple[np.ndarray, np.ndarray]:
    """The corners of what a panel shows; with room for an image above the topmost point."""
    extent = np.maximum(np.ptp(places, axis=0), 1e-9)
    return places.min(0) - 0.06 * extent, places.max(0) + (0.06, 0.12 if above else 0.06) * extent


def _put_image(axes: Axes, image: np.ndarray, place: np.ndarray, colour: str) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    axes.add_artist(
        AnnotationBbox(
            OffsetImage(image, zoom=_IMAGE_HEIGHT / len(image), interpolation="none"),
            tuple(place),
            xybox=(0, 4),
            boxcoords="offset points",
            box_alignment=(0.5, 0),
            pad=0.1,
            bboxprops={"edgecolor": colour, "facecolor": colour, "linewidth": 0.8},
        )
    )

"""How large the windows of INPUT.CROP and the rectangles of INPUT.ERASE are, beside torchvision's and the paper's.

    python benchmarks/rectangles.py [--draws 20000] [--page docs/training.md]

All of them are given the same ranges of area and aspect ratio. The table is put between the marks of the page.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from reid_dml.ending import run_command

if TYPE_CHECKING:
    import numpy as np

Range = tuple[float, float]
Size = tuple[int, int]  # height, width
Draw = Callable[[Size, Range, Range, int], "np.ndarray"]  # rows and columns of so many rectangles, (n, 2) float64

_CROP: tuple[Range, Range] = (0.08, 1.0), (3 / 4, 4 / 3)
_ERASE: tuple[Range, Range] = (0.02, 0.4), (0.3, 3.33)


def ours(size: Size, areas: Range, aspects: Range, count: int) -> np.ndarray:
    import torch

    from reid_dml.data.pipeline.augment import random_rectangles

    draws = torch.rand(count, 4, generator=torch.Generator().manual_seed(0))
    _, rows, _, columns = random_rectangles(draws, size, areas, aspects)
    return torch.stack([rows, columns], 1).numpy()


def torchvision_crop(size: Size, areas: Range, aspects: Range, count: int) -> np.ndarray:
    import numpy as np
    import torch
    from torchvision.transforms import RandomResizedCrop

    image, ratio = torch.empty(3, *size), [1 / aspects[1], 1 / aspects[0]]  # width / height there
    torch.manual_seed(0)
    return np.array([RandomResizedCrop.get_params(image, list(areas), ratio)[2:] for _ in range(count)], np.float64)


def torchvision_erase(size: Size, areas: Range, aspects: Range, count: int) -> np.ndarray:
    import numpy as np
    import torch
    from torchvision.transforms import RandomErasing

    image = torch.empty(3, *size)
    torch.manual_seed(0)
    found = [RandomErasing.get_params(image, areas, aspects, [0.0])[2:4] for _ in range(count)]
    return np.array([rectangle for rectangle in found if rectangle != size], np.float64)  # the whole: none has fitted


def algorithm_1(size: Size, areas: Range, aspects: Range, count: int) -> np.ndarray:
    """Zhong et al., AAAI 2020: area and aspect ratio anew until the rectangle fits."""
    import numpy as np

    rng = np.random.default_rng(0)
    found: list[tuple[int, int]] = []
    while len(found) < count:
        area, aspect = rng.uniform(*areas) * size[0] * size[1], rng.uniform(*aspects)
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if rows < size[0] and columns < size[1]:
            found.append((rows, columns))
    return np.array(found, np.float64)


_WAYS: list[tuple[str, tuple[Range, Range], list[Size], dict[str, Draw]]] = [
    ("crop", _CROP, [(256, 256), (375, 500)], {"ours": ours, "torchvision": torchvision_crop}),
    ("erase", _ERASE, [(224, 224), (256, 128)],
     {"ours": ours, "Algorithm 1": algorithm_1, "torchvision": torchvision_erase}),
]  # fmt: skip


def table(count: int) -> list[list[str]]:
    """The rows of the table, header first."""
    import numpy as np

    rows = [["", "image", "drawn by", "mean area", "5 % and 95 % of areas", "above 0.8", "median height / width"]]
    for what, ranges, sizes, ways in _WAYS:
        for size in sizes:
            for name, draw in ways.items():
                found = draw(size, *ranges, count)
                areas = found.prod(1) / (size[0] * size[1])
                low, high = np.quantile(areas, [0.05, 0.95])
                above = f"{(areas > 0.8).mean():.0%}" if ranges[0][1] > 0.8 else ""
                aspect = float(np.median(found[:, 0] / found[:, 1]))
                image = f"{size[0]} x {size[1]}"
                rows.append(
                    [what, image, name, f"{areas.mean():.2f}", f"{low:.2f}, {high:.2f}", above, f"{aspect:.2f}"]
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000, metavar="N", help="of each row; default: 20000")
    parser.add_argument("--page", default="docs/training.md", metavar="FILE", help="default: docs/training.md")
    arguments = parser.parse_args()

    from reid_dml.cells import markdown_table
    from reid_dml.files import write_text
    from reid_dml.paths import require_file
    from reid_dml.reporting.markdown import fill_marks

    page = require_file(Path(arguments.page), "the page", "it holds the marks between which the table is drawn")
    content = markdown_table(table(arguments.draws))
    write_text(page, fill_marks(page.read_text(), "rectangles", content, page))
    print(content)


if __name__ == "__main__":
    run_command(main)

"""Maps as one interactive HTML page: hovering over a point shows its image, on all maps at once. Needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from reid_dml.analysis.thumbnails import jpeg_url
from reid_dml.reporting.maps import COLOURS

_VIEW = 420  # side of a map
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.45 system-ui, sans-serif; color: #1d2129; background: #fff; margin: 1.5rem; }}
h1 {{ font-size: 1.3rem; margin: 0 0 .3rem; }} h2 {{ font-size: .95rem; margin: 0 0 .2rem; font-weight: 600; }}
.maps {{ display: flex; flex-wrap: wrap; gap: 1rem; }}
svg {{ border: 1px solid #d5d8dc; width: {view}px; height: {view}px; }}
g {{ cursor: pointer; }} path {{ stroke: #fff; stroke-width: .6; }}
.same path, .same rect {{ stroke: #000; stroke-width: 1.4; }}
.here path, .here rect {{ stroke: #000; stroke-width: 3; }}
rect, image {{ display: none; }} .pictures rect, .pictures image {{ display: inline; }}
#shown {{ position: fixed; display: none; background: #fff; border: 1px solid #999; padding: 6px; font-size: 12px;
  pointer-events: none; box-shadow: 0 2px 8px #0003; }} #shown img {{ display: block; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{text} Hover over a point: its image, and the same image and identity on every map.</p>
<p><label><input type="checkbox" id="pictures"> Images as points</label></p>
<div class="maps" id="maps"></div>
<div id="shown"></div>
<script>
const data = {data};
const view = {view}, shapes = [
  "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M0,-5L4.6,3.6H-4.6Z", "M-3.6,-3.6H3.6V3.6H-3.6Z", "M0,-5L4,0L0,5L-4,0Z",
  "M0,5L4.6,-3.6H-4.6Z", "M-1.5,-4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5Z"];
const svg = "http://www.w3.org/2000/svg", points = [], shown = document.getElementById("shown");
document.getElementById("pictures").addEventListener("change",
  event => document.body.classList.toggle("pictures", event.target.checked));
function make(kind, values, inside) {{
  const element = document.createElementNS(svg, kind);
  for (const [name, value] of Object.entries(values)) element.setAttribute(name, value);
  inside.append(element);
  return element;
}}
function mark(i) {{
  for (const point of points) {{
    const same = i !== null && data.group[point.i] === data.group[i];
    point.element.setAttribute("class", point.i === i ? "here" : same ? "same" : "");
  }}
}}
for (const [label, places] of data.maps) {{
  const box = document.createElement("div"), head = document.createElement("h2");
  const map = document.createElementNS(svg, "svg");
  head.textContent = label;
  map.setAttribute("viewBox", `0 0 ${{view}} ${{view}}`);
  places.forEach(([x, y], i) => {{
    const colour = data.colours[data.group[i] % data.colours.length];
    const point = make("g", {{transform: `translate(${{x}},${{y}})`}}, map);
    make("path", {{d: shapes[data.shape[i] % shapes.length], fill: colour}}, point);
    if (data.images[i]) {{  // above the point
      const [width, height] = data.sizes[i].map(side => side / 3);
      const frame = {{x: -width / 2 - 1.5, y: -height - 7.5, width: width + 3, height: height + 3}};
      make("rect", {{...frame, fill: colour}}, point);
      make("image", {{x: -width / 2, y: -height - 6, width, height, href: data.images[i]}}, point);
    }}
    point.addEventListener("mousemove", event => {{
      shown.replaceChildren();
      if (data.images[i]) {{ const image = new Image(); image.src = data.images[i]; shown.append(image); }}
      for (const line of data.captions[i]) {{
        const row = document.createElement("div"); row.textContent = line; shown.append(row);
      }}
      shown.style.display = "block";
      shown.style.left = Math.min(event.clientX + 14, innerWidth - 180) + "px";
      shown.style.top = Math.min(event.clientY + 14, innerHeight - 190) + "px";
      mark(i);
    }});
    point.addEventListener("mouseleave", () => {{ shown.style.display = "none"; mark(null); }});
    points.push({{i, element: point}});
  }});
  box.append(head, map);
  document.getElementById("maps").append(box);
}}
</script>
</body>
</html>
"""


def tsne_page(
    maps: Sequence[tuple[str, np.ndarray]],
    images: Sequence[np.ndarray | None],
    groups: np.ndarray,
    shapes: np.ndarray,
    *,
    captions: Sequence[Sequence[str]],
    title: str,
    text: str,
    frames: Mapping[int, int] | None = None,
) -> str:
    """The page.

    Args:
        maps: label and (N, 2) of each.
        images: (H, W, 3) uint8 RGB, shown as they are; None: only the caption is shown.
        groups: (N,) number of each image's identity.
        shapes: (N,) number of its camera.
        captions: lines of text of each image.
        title, text: what stands above, plain text.
        frames: number of the coordinate frame of a map by its position, where several maps are parts of one.
    """
    frames = frames or {}
    kinds = [frames.get(number, -1 - number) for number in range(len(maps))]
    limits = {}
    for kind in set(kinds):
        every = np.concatenate([places for own, (_, places) in zip(kinds, maps, strict=True) if own == kind])
        limits[kind] = every.min(0), np.maximum(np.ptp(every, axis=0), 1e-9)
    scaled = []
    for kind, (label, places) in zip(kinds, maps, strict=True):
        low, extent = limits[kind]
        unit = (places - low) / extent
        unit[:, 1] = 1 - unit[:, 1]  # screens count rows from the top
        scaled.append([label, np.round((12, 52) + unit * (_VIEW - 24, _VIEW - 64), 1).tolist()])  # images stand above
    data = {
        "maps": scaled,
        "group": groups.tolist(),
        "shape": shapes.tolist(),
        "colours": COLOURS,
        "captions": [list(lines) for lines in captions],
        "images": ["" if image is None else jpeg_url(image, 80) for image in images],
        "sizes": [[0, 0] if image is None else [image.shape[1], image.shape[0]] for image in images],
    }
    inside = json.dumps(data).replace("<", "\\u003c")  # a path may hold </script>
    return _PAGE.format(title=escape(title), text=escape(text), data=inside, view=_VIEW)

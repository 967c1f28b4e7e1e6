"""The drawing of one synthetic pedestrian seen by one camera, with NumPy and OpenCV."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

DRAWING = 1  # raise it when the drawing changes: data sets drawn before are then drawn anew
HEIGHT, WIDTH = 128, 64
_SCALE = 2  # drawn larger, then averaged down: smooth edges

# Few and close colours, so that no single garment tells two people apart.
_CLOTHES = [
    (35, 35, 40),
    (60, 62, 70),
    (110, 110, 115),
    (170, 168, 160),
    (215, 213, 205),
    (40, 50, 95),
    (60, 90, 150),
    (120, 150, 190),
    (130, 35, 40),
    (185, 60, 60),
    (45, 85, 55),
    (105, 120, 70),
    (120, 85, 55),
    (175, 140, 95),
    (200, 170, 70),
    (100, 60, 110),
    (190, 120, 140),
]
_HAIR = [(25, 20, 18), (55, 38, 25), (95, 65, 40), (150, 120, 75), (120, 115, 110)]
_SKIN = [(224, 185, 155), (200, 155, 120), (160, 115, 85), (105, 72, 52)]
_PATTERNS = ("plain", "plain", "stripes", "bars", "checks", "block")
_BAGS = ("none", "none", "backpack", "shoulder")

Colour = tuple[int, int, int]


def _pick(rng: np.random.Generator, palette: list[Colour], spread: int = 8) -> Colour:
    base = np.array(palette[rng.integers(len(palette))]) + rng.integers(-spread, spread + 1, 3)
    red, green, blue = (int(value) for value in base.clip(0, 255))
    return red, green, blue


@dataclass(frozen=True)
class Pedestrian:
    """What stays the same about a person in every image."""

    build: float  # width of the body, 1 = average
    height: float  # share of the image height
    skin: Colour
    hair: Colour
    long_hair: bool
    top: Colour
    top_accent: Colour
    pattern: str
    long_sleeves: bool
    bottom: Colour
    legs: str  # trousers | shorts | skirt
    shoes: Colour
    bag: str
    bag_colour: Colour

    @staticmethod
    def of(seed: int, number: int) -> Pedestrian:
        """The person of this number: always the same one for the same seed."""
        rng = np.random.default_rng([seed, 1, number])
        return Pedestrian(
            build=float(rng.uniform(0.82, 1.2)),
            height=float(rng.uniform(0.82, 0.93)),
            skin=_pick(rng, _SKIN),
            hair=_pick(rng, _HAIR),
            long_hair=bool(rng.random() < 0.4),
            top=_pick(rng, _CLOTHES),
            top_accent=_pick(rng, _CLOTHES),
            pattern=_PATTERNS[rng.integers(len(_PATTERNS))],
            long_sleeves=bool(rng.random() < 0.5),
            bottom=_pick(rng, _CLOTHES),
            legs=("trousers", "trousers", "shorts", "skirt")[rng.integers(4)],
            shoes=_pick(rng, _CLOTHES),
            bag=_BAGS[rng.integers(len(_BAGS))],
            bag_colour=_pick(rng, _CLOTHES),
        )


@dataclass(frozen=True)
class Camera:
    """What stays the same about a camera."""

    number: int
    cast: tuple[float, float, float]  # gain of red, green and blue
    gamma: float  # exposure
    blur: float  # standard deviation in pixels of the image
    heading: float  # usual direction people walk, radians; 0 faces the camera
    ground: Colour
    wall: Colour
    occlusion: float  # probability that something stands in front
    loose: float  # how far crops miss the person

    @staticmethod
    def of(seed: int, number: int) -> Camera:
        """The camera of this number: always the same one for the same seed."""
        rng = np.random.default_rng([seed, 2, number])
        red, green, blue = rng.uniform(0.86, 1.12, 3)
        grey = [(120, 125, 115), (150, 145, 135), (95, 100, 110), (130, 140, 110), (165, 160, 155)]
        return Camera(
            number=number,
            cast=(float(red), float(green), float(blue)),
            gamma=float(rng.uniform(0.8, 1.25)),
            blur=float(rng.uniform(0.3, 1.1)),
            heading=float(number * 2 * np.pi / 3 + rng.uniform(-0.4, 0.4)),
            ground=_pick(rng, grey, 20),
            wall=_pick(rng, grey, 30),
            occlusion=float(rng.uniform(0.05, 0.25)),
            loose=float(rng.uniform(0.03, 0.08)),
        )


def draw(person: Pedestrian, camera: Camera, rng: np.random.Generator, *, crop: float = 1.0) -> np.ndarray:
    """One image of the person, (128, 64, 3) uint8 RGB.

    Args:
        person, camera: who is seen, and by which camera.
        rng: what differs between two images of both.
        crop: share of the height that is kept.
    """
    canvas = _background(camera, rng)
    _body(canvas, person, camera.heading + rng.normal(0, 0.5), rng)
    if rng.random() < camera.occlusion:
        _occluder(canvas, rng)
    return _photograph(canvas, camera, rng, crop)


def _background(camera: Camera, rng: np.random.Generator) -> np.ndarray:
    height, width = HEIGHT * _SCALE, WIDTH * _SCALE
    canvas = np.empty((height, width, 3), np.float32)
    horizon = int(height * rng.uniform(0.3, 0.55))
    canvas[:horizon], canvas[horizon:] = camera.wall, camera.ground
    for _ in range(rng.integers(2, 6)):
        x, y = rng.integers(0, width), rng.integers(0, horizon + 1)
        shade = [float(v) for v in np.array(camera.wall) * rng.uniform(0.55, 1.35)]
        cv2.rectangle(
            canvas, (int(x), int(y)), (int(x + rng.integers(8, 60)), int(y + rng.integers(15, 110))), shade, -1
        )
    texture = cv2.resize(
        rng.normal(0, 10, (32, 16)).astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return np.ascontiguousarray(np.clip(canvas + texture[..., None], 0, 255).astype(np.uint8))


def _body(canvas: np.ndarray, person: Pedestrian, heading: float, rng: np.random.Generator) -> None:
    """Head, torso, arms, legs and bag; `heading` decides how wide the body looks and whether the back shows."""
    total = person.height * HEIGHT * _SCALE
    width = 30 * _SCALE * person.build * (0.72 + 0.28 * abs(np.cos(heading)))
    back = np.cos(heading) < 0
    x = WIDTH * _SCALE / 2
    foot = HEIGHT * _SCALE * (0.5 + person.height / 2)
    head = foot - total
    shoulder, hip = head + 0.17 * total, head + 0.52 * total
    phase = rng.uniform(-1, 1)

    def limb(start: tuple[float, float], end: tuple[float, float], thickness: float, colour: Colour) -> None:
        first, last = ((round(px), round(py)) for px, py in (start, end))
        cv2.line(canvas, first, last, colour, max(1, round(thickness)), cv2.LINE_AA)

    knee, ankle = hip + 0.24 * total, foot - 4 * _SCALE
    for side in (-1, 1):
        hip_x = x + side * 0.19 * width
        knee_x, foot_x = hip_x + side * phase * 0.16 * width, hip_x + side * phase * 0.34 * width
        limb((hip_x, hip), (knee_x, knee), 0.34 * width, person.bottom if person.legs != "skirt" else person.skin)
        limb((knee_x, knee), (foot_x, ankle), 0.27 * width, person.bottom if person.legs == "trousers" else person.skin)
        limb((foot_x, ankle), (foot_x + np.sin(heading) * 5 * _SCALE, foot), 0.24 * width, person.shoes)
    if person.legs == "skirt":
        skirt = [
            (x - 0.36 * width, hip - 4),
            (x + 0.36 * width, hip - 4),
            (x + 0.55 * width, knee),
            (x - 0.55 * width, knee),
        ]
        cv2.fillPoly(canvas, [np.array(skirt, np.int32)], person.bottom, cv2.LINE_AA)

    torso = np.array(
        [(x - 0.46 * width, shoulder), (x + 0.46 * width, shoulder), (x + 0.38 * width, hip), (x - 0.38 * width, hip)],
        np.int32,
    )
    _cloth(canvas, torso, person)
    for side in (-1, 1):
        elbow = (x + side * (0.55 * width + 2), shoulder + 0.2 * total)
        hand = (x + side * (0.52 + 0.22 * phase * side) * width, hip + 0.03 * total)
        limb((x + side * 0.46 * width, shoulder + 3), elbow, 0.22 * width, person.top)
        limb(elbow, hand, 0.17 * width, person.top if person.long_sleeves else person.skin)

    if person.bag == "backpack":
        wide = 0.33 if back else 0.44
        strap_colour = person.bag_colour
        if back:
            corner, end = (x - wide * width, shoulder + 0.03 * total), (x + wide * width, hip - 0.06 * total)
            cv2.rectangle(canvas, (int(corner[0]), int(corner[1])), (int(end[0]), int(end[1])), strap_colour, -1)
        else:
            for side in (-1, 1):
                limb((x + side * 0.28 * width, shoulder), (x + side * 0.3 * width, hip - 0.12 * total), 4, strap_colour)
    elif person.bag == "shoulder":
        side = -1 if back else 1
        limb((x - side * 0.4 * width, shoulder), (x + side * 0.5 * width, hip), 4, person.bag_colour)
        centre = (round(x + side * 0.58 * width), round(hip + 0.02 * total))
        cv2.ellipse(
            canvas, centre, (round(0.2 * width), round(0.06 * total)), 0, 0, 360, person.bag_colour, -1, cv2.LINE_AA
        )

    centre, radius = (round(x), round(head + 0.085 * total)), round(0.078 * total)
    if person.long_hair:
        drop = (round(x), round(head + 0.12 * total))
        cv2.ellipse(canvas, drop, (round(radius * 0.95), round(radius * 1.5)), 0, 0, 360, person.hair, -1, cv2.LINE_AA)
    cv2.ellipse(
        canvas, centre, (round(radius * 0.8), radius), 0, 0, 360, person.hair if back else person.skin, -1, cv2.LINE_AA
    )
    cv2.ellipse(canvas, centre, (round(radius * 0.85), radius), 0, 180, 360, person.hair, -1, cv2.LINE_AA)


def _cloth(canvas: np.ndarray, outline: np.ndarray, person: Pedestrian) -> None:
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(mask, [outline], 255)
    rows, columns = np.indices(mask.shape) // (6 * _SCALE)
    accent = {
        "plain": np.zeros(mask.shape, bool),
        "stripes": rows % 2 == 0,
        "bars": columns % 2 == 0,
        "checks": (rows + columns) % 2 == 0,
        "block": np.indices(mask.shape)[0] > outline[:, 1].mean(),
    }[person.pattern]
    canvas[mask > 0] = person.top
    canvas[(mask > 0) & accent] = person.top_accent


def _occluder(canvas: np.ndarray, rng: np.random.Generator) -> None:
    height, width = canvas.shape[:2]
    colour = [int(value) for value in rng.integers(30, 200, 3)]
    if rng.random() < 0.5:  # a post
        left = int(rng.integers(0, width))
        cv2.rectangle(canvas, (left, 0), (left + int(rng.integers(10, 36)), height), colour, -1)
    else:  # something low: a bicycle, a bin
        top = int(height * rng.uniform(0.6, 0.85))
        cv2.rectangle(
            canvas,
            (int(rng.integers(-20, width // 2)), top),
            (int(rng.integers(width // 2, width)), height),
            colour,
            -1,
        )


def _photograph(canvas: np.ndarray, camera: Camera, rng: np.random.Generator, crop: float) -> np.ndarray:
    height, width = canvas.shape[:2]
    scale = rng.uniform(1 - camera.loose, 1 + 2 * camera.loose)
    shift = rng.normal(0, camera.loose, 2) * (width, height) * 0.6
    if crop < 1:
        scale /= crop
        shift[1] += (1 - crop) * height * rng.choice((-1, 1))
    matrix = np.array(
        [[scale, 0, (1 - scale) * width / 2 + shift[0]], [0, scale, (1 - scale) * height / 2 + shift[1]]], np.float32
    )
    image = cv2.warpAffine(canvas, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    image = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    image = np.clip(image * np.array(camera.cast) * rng.uniform(0.85, 1.15), 0, 1) ** camera.gamma
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), camera.blur)
    return (np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1) * 255).round().astype(np.uint8)

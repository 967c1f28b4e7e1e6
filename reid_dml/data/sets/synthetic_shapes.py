"""Synthetic shapes: a small classification set that every machine can draw by itself.

A class is one of five shapes, plain or striped. Its images differ in place, size, rotation, proportions,
colours, background, parts of other shapes in front of it, blur and noise.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from yacs.config import CfgNode

from reid_dml.data.records import ClassificationData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.npz import read_npz
from reid_dml.data.sets.synthetic import TERMS, drawing_folder
from reid_dml.files import save_with
from reid_dml.options import Component, option

_DRAWING = 1  # raise it when the drawing changes: data sets drawn before are then drawn anew
_SIZE, _SCALE = 32, 3  # drawn larger, then averaged down: smooth edges
SHAPES = ("disc", "square", "triangle", "star", "cross")
TEXTURES = ("plain", "stripes")
CLASSES = [f"{shape} {texture}" for shape in SHAPES for texture in TEXTURES]


@dataclass(frozen=True)
class ShapesOptions(Component):
    """What is drawn."""

    train_per_class: int = option(200, "training images of each class", least=1, most=100_000)
    test_per_class: int = option(100, "test images of each class", least=1, most=100_000)
    seed: int = option(0, "the drawing's own seed", least=0)


@register_data("synthetic_shapes", task="classification", section="SHAPES", options=ShapesOptions, terms=TERMS)
def load_synthetic_shapes(cfg: CfgNode) -> ClassificationData:
    """Draw the data set into a file below `DATA.ROOT` unless it is there already, then read it.

    Where no root is named and there is no folder `datasets` to stand in, it goes to the user's cache.
    """
    options = {key.lower(): value for key, value in cfg.SHAPES.items()}
    fingerprint = hashlib.sha256(json.dumps([_DRAWING, options], sort_keys=True).encode()).hexdigest()[:8]
    path = drawing_folder(cfg.DATA.ROOT) / f"synthetic-shapes-{fingerprint}.npz"
    if not path.is_file():
        arrays = draw_shapes(**options)
        save_with(path, lambda draft: _save(draft, arrays))
    return read_npz(path, "synthetic_shapes")


def _save(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:  # by its path, NumPy would append .npz to the name
        np.savez_compressed(file, **arrays)


def draw_shapes(*, train_per_class: int, test_per_class: int, seed: int) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` data set; every image follows from (seed, split, class, number) alone.

    Args:
        train_per_class, test_per_class: images of each class.
        seed: of the drawing.
    """
    arrays: dict[str, np.ndarray] = {"class_names": np.array(CLASSES)}
    for split, count in enumerate((train_per_class, test_per_class)):
        labels = np.repeat(np.arange(len(CLASSES)), count)
        images = [
            draw_class(label, np.random.default_rng([seed, split, label, number]))
            for label in range(len(CLASSES))
            for number in range(count)
        ]
        name = ("train", "test")[split]
        arrays |= {f"{name}_images": np.stack(images), f"{name}_labels": labels.astype(np.int64)}
    return arrays


def draw_class(label: int, rng: np.random.Generator) -> np.ndarray:
    """One image of a class: (32, 32, 3) uint8 RGB."""
    shape, texture = SHAPES[label // len(TEXTURES)], TEXTURES[label % len(TEXTURES)]
    size = _SIZE * _SCALE
    back, front, accent = _contrasting_colours(rng)
    image = back + rng.normal(0, 25, 3) * np.linspace(-1, 1, size)[:, None, None]
    mask = _shape_mask(shape, rng)
    pattern = _pattern(texture, mask, rng)
    image = np.where(mask[..., None], np.where(pattern[..., None], accent, front), image)
    # A part of another shape hides some of this one.
    other = _shape_mask(SHAPES[rng.integers(len(SHAPES))], rng, scale=0.35)
    image = np.where(other[..., None], rng.uniform(0, 255, 3), image)
    image = cv2.resize(image, (_SIZE, _SIZE), interpolation=cv2.INTER_AREA)
    image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.9)) + rng.normal(0, rng.uniform(2, 12), image.shape)
    return image.clip(0, 255).astype(np.uint8)


def _contrasting_colours(rng: np.random.Generator) -> np.ndarray:
    """Three colours, each at least a third of the cube's edge from the others: (3, 3) float64."""
    while True:
        colours = rng.uniform(20, 235, (3, 3))
        if min(np.linalg.norm(colours[a] - colours[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 85:
            return colours


def _shape_mask(shape: str, rng: np.random.Generator, scale: float = 1.0) -> np.ndarray:
    """Where a shape is, somewhere in the image: (96, 96) bool."""
    size = _SIZE * _SCALE
    outline = _outline(shape)
    angle, stretch = rng.uniform(-0.6, 0.6), rng.uniform(0.8, 1.25)
    radius = scale * size * rng.uniform(0.24, 0.42)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    centre = size * rng.uniform(0.36, 0.64, 2) if scale == 1 else size * rng.uniform(0.1, 0.9, 2)
    points = (outline * [stretch, 1 / stretch]) @ turn.T * radius + centre
    mask = np.zeros((size, size), np.uint8)
    cv2.fillPoly(mask, [points.round().astype(np.int32)], 1)
    return mask.astype(bool)


def _outline(shape: str) -> np.ndarray:
    """Corners of a shape around 0, at most 1 away: (P, 2)."""
    if shape == "cross":
        quarter = np.array([[1.0, 0.35], [0.35, 0.35], [0.35, 1.0]])
        turn = np.array([[0, 1], [-1, 0]])
        return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])
    corners = {"disc": 40, "square": 4, "triangle": 3, "star": 10}[shape]
    angles = 2 * np.pi * np.arange(corners) / corners + np.pi / 4
    radii = np.where(np.arange(corners) % 2 == 0, 1.0, 0.45) if shape == "star" else np.ones(corners)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]


def _pattern(texture: str, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Where a shape has its second colour: (96, 96) bool."""
    if texture == "plain":
        return np.zeros_like(mask)
    y, x = np.indices(mask.shape)
    angle, period = rng.uniform(0, np.pi), rng.uniform(12, 20)
    return np.asarray((x * math.cos(angle) + y * math.sin(angle) + rng.uniform(0, period)) % period < period / 2)

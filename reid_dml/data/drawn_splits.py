"""Drawing a train and a test split of labelled images: whom to search for, and by which images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import sha256

from reid_dml.data.labels import LabelledImage, is_unknown_camera, special_person


def draw_splits(
    images: Sequence[LabelledImage], *, persons: int, query_images: int = 1, seed: int = 0
) -> list[LabelledImage]:
    """The images with their splits: `train`, or `query` and `gallery` of the drawn persons.

    Every person and image has its place in an order that follows from the seed and its name alone: a smaller draw is
    part of a larger one, and new persons move no others. Images of no person (distractors, junk) go to the gallery, but
    to `train` where nobody is drawn.

    Args:
        images: with persons and, where they are known, cameras.
        persons: to test on, as far as so many can be: a person needs two images, of two cameras where cameras are
            known.
        query_images: of each test person and camera; one image of every camera at least stays in the gallery.
        seed: of the draw.
    """
    own: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in images:
        if special_person(image.person) is None:
            own[image.person].append(image)
    able = sorted((name for name in own if can_be_tested(own[name])), key=lambda name: place_in_draw(seed, name))
    tested = set(able[:persons])
    queries = {image.path for name in tested for image in _queries(own[name], query_images, seed)}
    drawn = []
    for image in images:
        special = special_person(image.person) is not None
        tests = image.person in tested or (special and tested)
        split = "train" if not tests else "query" if image.path in queries else "gallery"
        drawn.append(image._replace(split=split))
    return drawn


def can_be_tested(images: Sequence[LabelledImage]) -> bool:
    """Whether an image of this person could find another one: of another camera, or where one is not known."""
    unknown = sum(is_unknown_camera(image.camera) for image in images)
    cameras = {image.camera for image in images if not is_unknown_camera(image.camera)}
    return len(images) > 1 and (len(cameras) > 1 or unknown > 0)


def _queries(images: Sequence[LabelledImage], count: int, seed: int) -> list[LabelledImage]:
    by_camera: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in sorted(images, key=lambda image: place_in_draw(seed, f"{image.person}/{image.camera}/{_name(image)}")):
        by_camera["" if is_unknown_camera(image.camera) else image.camera].append(image)
    found = [image for own in by_camera.values() for image in own[: min(count, len(own) - 1)]]
    # A person with one image a camera: one of them is the query.
    return found or [next(iter(by_camera.values()))[0]]


def _name(image: LabelledImage) -> str:
    return image.path.rsplit("/", 1)[-1]


def place_in_draw(seed: int, name: str) -> bytes:
    """A key to sort by, which follows from the seed of a draw and the name of what is drawn."""
    return sha256(f"{seed}/{name}".encode(errors="surrogateescape")).digest()

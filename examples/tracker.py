"""A tracker that knows a person again who was gone: boxes by overlap, and by appearance where overlap ends.

    python examples/tracker.py --run runs/quickstart

In a drawn video six persons walk through the picture, one after the other leaves, and all come back elsewhere. Boxes
come from a stand-in for a detector: the true ones, a little off, some of them missing. The tracker joins boxes that
overlap from frame to frame; a person who comes back has no such box and becomes a new track, unless its feature is
near enough to that of a track that was lost.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from reid_dml import FeatureExtractor
from reid_dml.data.sets.pedestrians import Camera, Pedestrian, draw
from reid_dml.ending import run_command
from reid_dml.errors import UserError

PERSONS, VISIT, HEIGHT, WIDTH = 6, 12, 220, 450  # frames of a visit; pixels of a frame
TALL, WIDE, STEP = 96, 48, 6  # a person, and the pixels it walks in a frame


def video(seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Frames (HEIGHT, WIDTH, 3) uint8 BGR, a detector's boxes (N, 4) in them, and whom they show."""
    rng, camera = np.random.default_rng(seed), Camera.of(seed, 1)
    # Everybody comes twice: at first walking to the right, later to the left on the other side.
    visits = [(person, start + 3 * person, way) for start, way in ((0, 1), (40, -1)) for person in range(PERSONS)]
    for time in range(40 + 3 * PERSONS + VISIT):
        frame = np.full((HEIGHT, WIDTH, 3), 120, np.uint8)
        boxes, persons = [], []
        for person, start, way in visits:
            if start <= time < start + VISIT:
                place = 150 * (person % 3) + STEP * (time - start)
                left, top = (place if way > 0 else WIDTH - WIDE - place), 8 + 108 * (person // 3)
                picture = cv2.resize(draw(Pedestrian.of(seed, 900 + person), camera, rng), (WIDE, TALL))
                frame[top : top + TALL, left : left + WIDE] = picture[..., ::-1]
                if rng.random() < 0.95:
                    boxes.append(np.array([left, top, left + WIDE, top + TALL]) + rng.normal(0, 1.5, 4))
                    persons.append(person)
        yield frame, np.array(boxes).reshape(-1, 4), np.array(persons, int)


@dataclass
class Track:
    """A person as far as the tracker knows."""

    box: np.ndarray
    feature: np.ndarray  # the mean of all so far, not scaled
    seen: int  # frame
    persons: list[int] = field(default_factory=list)  # that it really shows, for the report


@dataclass
class Tracker:
    """Joins boxes to tracks: by overlap with those of the last frames, then by appearance with those that were lost.

    Attributes:
        least_similarity: cosine similarity of a box to the mean of a lost track; above 1: never.
        least_overlap: intersection over union.
        patience: frames without a box until a track counts as lost.
    """

    least_similarity: float
    least_overlap: float = 0.3
    patience: int = 3
    tracks: list[Track] = field(default_factory=list)

    def update(self, time: int, boxes: np.ndarray, features: np.ndarray) -> list[Track]:
        """The track of every box."""
        found: dict[int, Track] = {}
        here = [track for track in self.tracks if time - track.seen <= self.patience]
        lost = [track for track in self.tracks if time - track.seen > self.patience]
        overlap = np.array([[intersection_over_union(box, track.box) for track in here] for box in boxes])
        self._join(found, range(len(boxes)), here, overlap, self.least_overlap)
        rest = [row for row in range(len(boxes)) if row not in found]
        means = np.array([track.feature / max(np.linalg.norm(track.feature), 1e-9) for track in lost])
        self._join(found, rest, lost, features[rest] @ means.T if lost else np.empty(0), self.least_similarity)
        for row, (box, feature) in enumerate(zip(boxes, features, strict=True)):
            if row not in found:
                found[row] = Track(box, np.zeros_like(feature), time)
                self.tracks.append(found[row])
            found[row].box, found[row].seen = box, time
            found[row].feature = found[row].feature + feature
        return [found[row] for row in range(len(boxes))]

    @staticmethod
    def _join(found: dict[int, Track], rows, tracks: list[Track], score: np.ndarray, least: float) -> None:
        if score.size:
            for row, column in zip(*linear_sum_assignment(-score), strict=True):
                if score[row, column] >= least:
                    found[rows[row]] = tracks[column]


def intersection_over_union(box: np.ndarray, other: np.ndarray) -> float:
    """Of two boxes left, top, right, bottom."""
    width, height = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0)
    both = width * height
    return both / (np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2]) - both)


def main(run: str, least_similarity: float = 0.75) -> dict[str, int]:
    """Track with and without features; how many persons kept a track of their own when they came back."""
    extract = FeatureExtractor.from_run(run)
    trackers = {"by overlap alone": Tracker(2.0), "and by appearance": Tracker(least_similarity)}
    for time, (frame, boxes, persons) in enumerate(video()):
        features = extract(frame, boxes)
        for tracker in trackers.values():
            for track, person in zip(tracker.update(time, boxes, features), persons, strict=True):
                track.persons.append(int(person))
    kept = {}
    for name, tracker in trackers.items():
        mixed = sum(len(set(track.persons)) > 1 for track in tracker.tracks)
        shown = [[track.persons for track in tracker.tracks if person in track.persons] for person in range(PERSONS)]
        kept[name] = sum(len(tracks) == 1 and len(set(tracks[0])) == 1 for tracks in shown)
        print(
            f"{name}: {len(tracker.tracks)} tracks, {mixed} of several persons; {kept[name]} of {PERSONS} found again"
        )
    return kept


def command() -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="runs/quickstart", metavar="RUN", help="run folder or weights file")
    parser.add_argument("--similarity", type=float, default=0.75, metavar="X", help="of one person (default: 0.75)")
    arguments = parser.parse_args()
    if not -1 <= arguments.similarity <= 1:
        raise UserError(f"--similarity {arguments.similarity}: a cosine similarity lies between -1 and 1")
    main(arguments.run, arguments.similarity)


if __name__ == "__main__":
    run_command(command)

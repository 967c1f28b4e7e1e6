"""Our features where trackers and detectors take them: supervision, Norfair, BoxMOT."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from reid_dml import FeatureExtractor
from reid_dml.features.boxmot import BoxMOTEncoder

FRAME = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
BOXES = np.array([[10, 20, 30, 50], [40, 0, 70, 55]], np.float32)


@pytest.fixture(scope="module")
def extract(tiny_run):
    return FeatureExtractor.from_run(tiny_run, device="cpu")


def test_detections_of_supervision_carry_their_features_through_its_filters(extract):
    supervision = pytest.importorskip("supervision")
    detections = supervision.Detections(xyxy=BOXES, confidence=np.array([0.9, 0.3]))
    features = extract(FRAME, detections.xyxy)
    detections.data["feature"] = features
    for kept, row in ((detections.confidence > 0.5, 0), (detections.confidence < 0.5, 1)):
        np.testing.assert_array_equal(detections[kept].data["feature"], features[[row]])
    none = supervision.Detections.empty()
    assert extract(FRAME, none.xyxy).shape == (0, 512)


def test_norfair_finds_a_person_again_by_our_features(extract):
    norfair = pytest.importorskip("norfair")

    def distance(new, known):
        return 1 - float(new.last_detection.embedding @ known.last_detection.embedding)

    tracker = norfair.Tracker(
        distance_function="euclidean", distance_threshold=10, initialization_delay=1, hit_counter_max=2,
        reid_distance_function=distance, reid_distance_threshold=0.1, reid_hit_counter_max=50,
    )  # fmt: skip
    crop = FRAME[20:50, 10:30].copy()

    def step(left):
        frame = np.zeros((60, 300, 3), np.uint8)
        if left is None:
            return tracker.update([])
        frame[20:50, left : left + 20] = crop
        box = np.array([[left, 20, left + 20, 50]])
        (feature,) = extract(frame, box)
        return tracker.update([norfair.Detection(points=box.reshape(2, 2), embedding=feature)])

    first = [objects for _ in range(8) if (objects := step(10))][-1][0].id
    for _ in range(8):
        step(None)
    again = [objects for _ in range(8) if (objects := step(200))][-1][0].id  # far from where it was
    assert again == first


@dataclass
class Frame:
    image: torch.Tensor


def detections(values):
    return SimpleNamespace(geometry=SimpleNamespace(values=torch.tensor(values, dtype=torch.float32)))


class TestBoxMOT:
    """What its encoders must give: for each frame a (N, D) float32 tensor, contiguous, on the CPU, rows of length 1."""

    rgb = torch.from_numpy(FRAME[..., ::-1].copy()).permute(2, 0, 1).contiguous()

    def test_frames_and_boxes_give_tensors(self, extract):
        encoder = BoxMOTEncoder(extract)
        empty = np.zeros((0, 4))
        outside = [[200.0, 0, 220, 10]]
        found = encoder.encode([Frame(self.rgb)] * 3, [detections(BOXES), detections(empty), detections(outside)])
        assert [tuple(rows.shape) for rows in found] == [(2, 512), (0, 512), (1, 512)]
        assert encoder.embedding_dim == 512
        np.testing.assert_allclose(found[0].numpy(), extract(FRAME, BOXES), atol=1e-6)
        for rows in found:
            assert (rows.dtype, rows.device.type, rows.is_contiguous()) == (torch.float32, "cpu", True)
            torch.testing.assert_close(rows.norm(dim=1), torch.ones(len(rows)))

    def test_oriented_boxes_are_refused(self, extract):
        with pytest.raises(ValueError, match="oriented boxes"):
            BoxMOTEncoder(extract).encode([Frame(self.rgb)], [detections([[5.0, 5, 4, 4, 0.3]])])

    def test_boxmot_itself_takes_it(self, extract):
        pytest.importorskip("boxmot")
        from boxmot.pipelines.perception import PerceptionPipeline, PipelineOutputs
        from boxmot.reid import AppearanceEncoder
        from boxmot.structures import Boxes, Detections
        from boxmot.structures import Frame as ItsFrame

        encoder = BoxMOTEncoder(extract)
        assert isinstance(encoder, AppearanceEncoder)
        frame = ItsFrame(self.rgb, "a")
        its = Detections(Boxes(torch.from_numpy(BOXES)), torch.ones(2), torch.zeros(2, dtype=torch.int64), "a")
        pipeline = PerceptionPipeline(reid=encoder, outputs=PipelineOutputs(embeddings=True))
        (enriched,) = pipeline.enrich([frame], [its])
        np.testing.assert_allclose(enriched.embeddings.numpy(), extract(FRAME, BOXES), atol=1e-6)

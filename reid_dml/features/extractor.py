"""Features of anybody's images, from a run folder, a model folder or an exported file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from yacs.config import CfgNode

from reid_dml.data.pipeline.augment import AugmentSpec
from reid_dml.data.records import ImageRecord
from reid_dml.data.stored import ImageFiles, StoredImages
from reid_dml.device import resolve_device
from reid_dml.features.crops import features_of_boxes
from reid_dml.features.ensemble import concatenate_features
from reid_dml.features.extraction import extract_features
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.fingerprint import fingerprint
from reid_dml.features.input_images import InputImage, InputImages
from reid_dml.features.validation import check_list, check_text
from reid_dml.models import ReIDNetwork
from reid_dml.paths import given_path
from reid_dml.runs.hub import PREFIX, is_hub_id
from reid_dml.runs.networks import NetworkChoice, choose_networks, load_networks
from reid_dml.runs.sources import run_config
from reid_dml.sharing.model_card import CardText
from reid_dml.sharing.model_folder import save_model
from reid_dml.threads import end_threads, use_threads


class FeatureExtractor:
    """Features of images for search: `FeatureExtractor.from_run("runs/quickstart")(images)`."""

    def __init__(self, cfg: CfgNode, networks: Mapping[int, ReIDNetwork], device: str) -> None:
        """Networks that are open already; otherwise use `from_run`.

        Args:
            cfg: the config they were trained with: sizes, normalisation, `TEST.ENSEMBLE`, `TEST.FLIP`.
            networks: by their index in `COHORT.NETWORKS`.
            device: where they are: cpu or cuda:N.
        """
        self.cfg, self.networks, self.device = cfg, dict(networks), device
        self.spec = AugmentSpec.of(cfg)

    @staticmethod
    def from_run(
        path: str | os.PathLike[str], network: NetworkChoice = "ensemble", device: str = "auto"
    ) -> FeatureExtractor:
        """Open a run.

        Args:
            path: a run folder, a model folder, or one of their weights files, wherever it is now.
            network: `ensemble` (all of the cohort, concatenated), the index of one network, or those of some: [0, 2].
            device: auto, cpu, cuda or cuda:N.

        Raises:
            UserError: no such run or network, or weights that do not fit the run's config.
            ValueError: a path or device of another type.
        """
        given_path(path)  # only its type: it may be the address of a hub
        check_text("device", device)
        cfg = run_config(path)
        device = resolve_device(device)
        networks = load_networks(cfg, cfg.MODEL.WEIGHTS, device)
        return FeatureExtractor(cfg, choose_networks(networks, network, path), device)

    @staticmethod
    def from_pretrained(
        name: str | os.PathLike[str], network: NetworkChoice = "ensemble", device: str = "auto"
    ) -> FeatureExtractor:
        """Open a model folder.

        Args:
            name: the folder (a run folder and a weights file do as well), or `owner/name` of a model on a Hugging Face
                hub, `hf://owner/name@revision` for a certain one. The hub is asked where nothing here has the name.
            network, device: as for `from_run`.

        Raises:
            UserError: no such model, here or there, and as `from_run`.
        """
        text = os.fspath(name)
        asked = is_hub_id(text) and not os.path.exists(text)
        return FeatureExtractor.from_run(PREFIX + text if asked else name, network, device)

    def save_pretrained(self, folder: str | os.PathLike[str], *, licence: str = "other", terms: str = "") -> None:
        """Write the networks as a model folder, see `sharing.model_folder`.

        Args:
            folder: new or empty.
            licence: of the weights, in the hub's words, such as `apache-2.0`.
            terms: of the data they were trained on, for the model card.

        Raises:
            UserError: a folder that holds something or cannot be written; an exported file, which has no weights.
        """
        save_model(self.networks, self.cfg, self.model, folder, CardText(licence, terms))

    @staticmethod
    def from_config(cfg: CfgNode, network: NetworkChoice = "ensemble") -> FeatureExtractor:
        """Open `MODEL.WEIGHTS` of a config on its `DEVICE`; otherwise like `from_run`."""
        device = resolve_device(cfg.DEVICE)
        use_threads(cfg.THREADS)
        networks = load_networks(cfg, cfg.MODEL.WEIGHTS, device)
        end_threads()  # another thread than this one may be the one that extracts
        return FeatureExtractor(cfg, choose_networks(networks, network, cfg.MODEL.WEIGHTS), device)

    @cached_property
    def model(self) -> str:
        """Fingerprint of the networks: features may be compared only with others of the same model."""
        return fingerprint(self.cfg, self.networks)

    @overload
    def __call__(self, images: Sequence[InputImage]) -> np.ndarray: ...
    @overload
    def __call__(self, images: np.ndarray, boxes: Any) -> np.ndarray: ...
    @overload
    def __call__(self, images: Sequence[np.ndarray], boxes: Sequence[Any]) -> list[np.ndarray]: ...

    def __call__(self, images: Any, boxes: Any = None) -> np.ndarray | list[np.ndarray]:
        """Features of images, or of the persons in the boxes of a frame or of several.

        Args:
            images: paths, PIL images or (H, W, 3) uint8 RGB arrays, of any size and mixed as you like; what becomes of
                PIL images of more than 8 bits: `input_images.as_rgb`. With boxes: a frame (H, W, 3) uint8 BGR, as
                OpenCV reads it, or a list of frames.
            boxes: (N, 4), left, top, right and bottom edge in pixels, see `crops.crop_boxes`; of several frames, a
                list of them.

        Returns:
            (N, D) float32, rows of length 1: the dot product of two is their cosine similarity. A box without a pixel
            in the frame has a row of zeros. For several frames, a list of these.

        Raises:
            UserError: an image that cannot be read, or whose feature is not finite. ValueError: what is no image, such
                as an array of another shape or type, or boxes of another shape.
        """
        if boxes is not None:
            single = isinstance(images, np.ndarray)
            if not single and not isinstance(images, (list, tuple)):
                raise ValueError(
                    f"images: with boxes a frame (H, W, 3) uint8 BGR or a list of frames, got {type(images).__name__}; "
                    "read a file with cv2.imread first"
                )
            frames, of_frames = ([images], [boxes]) if single else (images, boxes)
            found = features_of_boxes(self._of_images, frames, of_frames)
            return found[0] if single else found
        if not isinstance(images, (list, tuple)):
            raise ValueError(
                f"images: expected a list of images, got {type(images).__name__}; wrap a single one: [image], or give "
                "the boxes of a frame"
            )
        return self._of_images(images)

    def _of_images(self, images: Sequence[InputImage]) -> np.ndarray:
        # One thread: two must not load the same PIL image at once.
        return self._extract(InputImages(images, self.cfg.DATA.STORED_SIZE, self.cfg.DATA.PIXEL_LIMIT), workers=1)

    def extract(self, records: Sequence[ImageRecord], title: str = "images") -> FeatureSet:
        """Features of image files with all that is known of these, in this process alone.

        Args:
            records: the files and their ids.
            title: of the progress bar.

        Raises:
            UserError: an image that cannot be read, or whose feature is not finite.
            ValueError: what are no records.
        """
        check_list("records", records, ImageRecord)
        images = ImageFiles(records, self.cfg.DATA.STORED_SIZE, self.cfg.DATA.PIXEL_LIMIT)
        return FeatureSet.of(self._extract(images, workers=self.cfg.DATA.WORKERS, title=title), records, self.model)

    def join(self, members: Mapping[int, np.ndarray]) -> np.ndarray:
        """One feature from those of every network, (N, D_k) each: (N, D) float32, rows of length 1."""
        return concatenate_features([members[index] for index in sorted(members)], how=self.cfg.TEST.ENSEMBLE)

    def _extract(self, images: StoredImages, *, workers: int, title: str = "") -> np.ndarray:
        size = self.cfg.TEST.BATCH_SIZE
        options = {"device": self.device, "batch_size": size, "workers": workers, "title": title}
        return self.join(extract_features(self.networks, images, self.spec, **options))

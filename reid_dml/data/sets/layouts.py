"""Data sets that are a folder a split with persons and cameras in the file names: all that differs is in a table.

Of each: its name in `DATA.NAME`, the folder its archive unpacks to (and what copies call it), the folders of the
splits, how a name is read, and the published numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.listing import list_folders, list_images, passed_over, walk_images
from reid_dml.data.records import JUNK, UNKNOWN_CAMERA, ImageRecord, ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.found import Published, child, compare_counts, find_folder, inside
from reid_dml.data.sets.protocol import SECTION, ProtocolOptions
from reid_dml.errors import UserError

MARKET_SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
MARKET_NAME = re.compile(r"(?P<person>-1|\d{1,9})_c(?P<camera>\d{1,4})")


@dataclass(frozen=True)
class Layout:
    """One such data set.

    Attributes:
        name: in `DATA.NAME`.
        folders: names of its folder, that of the archive first.
        published: numbers of images and identities.
        splits: folder of each split.
        pattern: of file names, with groups `person`, `camera` and, where clothes are known, `clothes`.
        example: of a file name.
        first_person: number of the first person; 0 is a distractor to us, so that persons then count from 1.
    """

    name: str
    folders: tuple[str, ...]
    published: Published
    splits: Mapping[str, str]
    pattern: re.Pattern[str] = MARKET_NAME
    example: str = "0002_c1_f0046182.jpg"
    first_person: int = 1

    def read(self, root: Path, *, cameras: str = "required") -> ReIDData:
        """The splits in a folder that has them, compared with the published numbers.

        Args:
            root: holds the folders of the splits.
            cameras: `required`, or `ignore` (all count as unknown).

        Raises:
            UserError: an empty folder or a name that does not parse.
        """
        tested = [split for split in self.splits if split != "train"]
        present = [split for split in self.splits if split in tested or child(root, self.splits[split])]
        splits = {split: self._read_split(inside(root, self.splits[split]), cameras) for split in present}
        compare_counts(root, splits, self.published)
        # Junk can never be a match nor a wrong item: it is left out before anything is computed on it.
        splits["gallery"] = [record for record in splits["gallery"] if record.person_id != JUNK]
        train = splits.get("train", [])
        names = {record.person_id: record.person for found in splits.values() for record in found if record.person}
        missing = "" if train else f"{root / self.splits['train']}: folder not found"
        return ReIDData(
            self.name, str(root), train, splits["query"], splits["gallery"], missing=missing, original_ids=names
        )

    def _read_split(self, folder: Path, cameras: str) -> list[ImageRecord]:
        return [self._record(path, cameras) for path in image_files(folder)]

    def _record(self, path: str, cameras: str) -> ImageRecord:
        match = self.pattern.match(os.path.basename(path))
        if match is None:
            raise UserError(f"{path}: the name is not like {self.example}; rename or remove the file")
        known = match.groupdict()
        number = int(known["person"])
        person, name = (number, "") if self.first_person else (number + 1, str(number))
        camera = int(known["camera"]) if cameras == "required" else UNKNOWN_CAMERA
        clothes = int(known["clothes"]) + 1 if "clothes" in known else 0
        return ImageRecord(path, person, camera, person=name, clothes=clothes)


def image_files(folder: Path) -> list[str]:
    """Paths of the images in a folder, sorted by name. Raises `UserError` if there are none."""
    with passed_over(folder) as passed:
        names = list_images(folder, passed)
        for name in list_folders(folder):
            if below := walk_images(folder / name, passed):
                passed.add("in sub-folders", str(folder / name / below[0]), len(below))
    if not names:
        raise UserError(f"{folder}: holds no images; unpack the data set again (see datasets/README.md)")
    return [str(folder / name) for name in names]


DUKE = Layout(
    "dukemtmc",
    ("DukeMTMC-reID", "dukemtmcreid", "dukemtmc", "duke"),
    Published({"train": 16_522, "query": 2_228, "gallery": 17_661}, {"train": 702, "query": 702, "gallery": 1_110}),
    MARKET_SPLITS,
)
OCCLUDED_DUKE = replace(
    DUKE,
    name="occluded_duke",
    folders=("Occluded_Duke", "Occluded-DukeMTMC-reID", "Occluded-DukeMTMC"),
    published=Published(
        {"train": 15_618, "query": 2_210, "gallery": 17_661}, {"train": 702, "query": 519, "gallery": 1_110}
    ),
)
VERI = Layout(
    "veri776",
    ("VeRi", "VeRi-776", "VeRi_776_dataset"),
    Published({"train": 37_778, "query": 1_678, "gallery": 11_579}, {"train": 576, "query": 200, "gallery": 200}),
    {"train": "image_train", "query": "image_query", "gallery": "image_test"},
    example="0001_c001_00016450_0.jpg",
)
LTCC = Layout(
    "ltcc",
    ("LTCC_ReID", "LTCC"),
    Published({"train": 9_576, "query": 493, "gallery": 7_050}, {"train": 77, "query": 75, "gallery": 75}),
    {"train": "train", "query": "query", "gallery": "test"},
    re.compile(r"(?P<person>\d{1,9})_(?P<clothes>\d{1,4})_c(?P<camera>\d{1,4})"),
    "000_1_c10_015833.png",
    0,
)


def _load(cfg: CfgNode, layout: Layout) -> ReIDData:
    tested = [folder for split, folder in layout.splits.items() if split != "train"]
    return check_data(layout.read(find_folder(cfg.DATA.ROOT, layout.folders, tested), cameras=cfg.DATA.CAMERAS))


@register_data("dukemtmc", task="retrieval")
def load_dukemtmc(cfg: CfgNode) -> ReIDData:
    """DukeMTMC-reID (Zheng et al., ICCV 2017), which its authors have withdrawn: for those who may use their copy."""
    return _load(cfg, DUKE)


@register_data("occluded_duke", task="retrieval")
def load_occluded_duke(cfg: CfgNode) -> ReIDData:
    """Occluded-DukeMTMC (Miao et al., ICCV 2019): its authors' script makes it of DukeMTMC-reID's archive."""
    return _load(cfg, OCCLUDED_DUKE)


@register_data("veri776", task="retrieval")
def load_veri776(cfg: CfgNode) -> ReIDData:
    """VeRi-776 (Liu et al., ECCV 2016): vehicles in place of persons. Image to image, not in the query's camera."""
    return _load(cfg, VERI)


@register_data("ltcc", task="retrieval", section=SECTION, options=ProtocolOptions)
def load_ltcc(cfg: CfgNode) -> ReIDData:
    """LTCC (Qian et al., ACCV 2020). By `PROTOCOL.CLOTHES changed` a match wears other clothes than the query.

    Images of the query's person in its clothes are then left out, as are those of its camera; `any` is the standard
    protocol, which does not ask for clothes.
    """
    if cfg.PROTOCOL.CLOTHES == "same":
        raise UserError("PROTOCOL.CLOTHES: same: is for prcc; ltcc knows changed and any")
    data = _load(cfg, LTCC)
    if cfg.PROTOCOL.CLOTHES == "changed":
        return data
    query, gallery = ([r._replace(clothes=0) for r in records] for records in (data.query, data.gallery))
    return replace(data, query=query, gallery=gallery)

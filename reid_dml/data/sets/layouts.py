"""Data sets that are a folder a split with persons and cameras in the file names: all that differs is in a table.

Of each: its name in `DATA.NAME`, the folder its archive unpacks to (and what copies call it), the folders of the
splits, how a name is read, and the published numbers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from yacs.config import CfgNode

from reid_dml.data.file_names import MARKET_NAME
from reid_dml.data.listing import list_folders, list_images, passed_over, walk_images
from reid_dml.data.records import JUNK, ImageRecord, ReIDData
from reid_dml.data.sets import register_data
from reid_dml.data.sets.checks import check_data
from reid_dml.data.sets.found import MARKET_SPLITS, Published, child, compare_counts, find_folder, inside, not_found
from reid_dml.data.sets.protocol import SECTION, ProtocolOptions
from reid_dml.errors import UserError, absolute

_TESTED = ("query", "gallery")


@dataclass(frozen=True)
class Layout:
    """One such data set.

    Attributes:
        name: in `DATA.NAME`.
        folders: names of its folder, that of the archive first.
        published: numbers of images and identities.
        splits: folder of train, query, gallery and, where there are further images of the query persons for
            multi-query, gt_bbox. The first and the last may be absent.
        pattern: of file names, see `read_images`.
        unlike: what is said of a name of another pattern.
        first_person: number of the first person; 0 is a distractor to us, so that persons then count from 1.
    """

    name: str
    folders: tuple[str, ...]
    published: Published
    splits: Mapping[str, str]
    pattern: re.Pattern[str] = MARKET_NAME
    unlike: str = "does not start with <person>_c<camera>, like 0002_c1s1_000451_03.jpg"
    first_person: int = 1

    @property
    def tested(self) -> list[str]:
        """The folders that nobody can do without."""
        return [self.splits[split] for split in _TESTED]

    def read(self, root: Path) -> ReIDData:
        """The splits in a folder that has them, compared with the published numbers.

        Args:
            root: holds the folders of the splits.

        Raises:
            UserError: a folder that is missing or empty, or a name that does not parse.
        """
        if not root.is_dir():
            raise UserError(not_found(root))
        # Who only evaluates needs no images to train on.
        present = [split for split, folder in self.splits.items() if split in _TESTED or child(root, folder)]
        splits = {split: self._read_split(inside(root, self.splits[split])) for split in present}
        compare_counts(root, splits, self.published)
        # Junk can never be a match nor a wrong item: it is left out before anything is computed on it.
        splits["gallery"] = [record for record in splits["gallery"] if record.person_id != JUNK]
        return ReIDData(
            self.name,
            str(root),
            splits.get("train", ()),
            splits["query"],
            splits["gallery"],
            splits.get("gt_bbox", ()),
            missing="" if "train" in splits else not_found(root / self.splits["train"]),
            original_ids={r.person_id: r.person for found in splits.values() for r in found if r.person},
        )

    def _read_split(self, folder: Path) -> list[ImageRecord]:
        records = read_images(folder, self.pattern, self.unlike)
        return records if self.first_person else counted_from_one(records)


def read_images(folder: Path, pattern: re.Pattern[str], unlike: str, *, camera: int | None = None) -> list[ImageRecord]:
    """The images of a folder, sorted by name, with what their names say.

    Args:
        folder: to read.
        pattern: of names, with the groups `person` and, where they are known, `camera` and `clothes`.
        unlike: what is said of a name of another pattern.
        camera: of all images; None: in the names.

    Raises:
        UserError: a folder that is missing or empty, or a name that does not parse.
    """
    records, dressed = [], "clothes" in pattern.groupindex
    for path in image_files(folder):
        match = pattern.match(os.path.basename(path))
        if match is None:
            raise UserError(
                f"{path}: the name {unlike}; rename or remove the file, or list your images in a CSV (DATA.NAME csv)"
            )
        seen_by = int(match["camera"]) if camera is None else camera
        clothes = int(match["clothes"]) + 1 if dressed else 0
        records.append(ImageRecord(path, int(match["person"]), seen_by, clothes=clothes))
    return records


def counted_from_one(records: Iterable[ImageRecord]) -> list[ImageRecord]:
    """Images of persons who are counted from 0, which is a distractor to us: a number higher, called as before."""
    return [record._replace(person_id=record.person_id + 1, person=str(record.person_id)) for record in records]


def image_files(folder: Path) -> list[str]:
    """Paths of the images in a folder, sorted by name. Raises `UserError` if there are none, or no folder."""
    if not folder.is_dir():
        raise UserError(not_found(folder))
    with passed_over(folder) as passed:
        names = list_images(folder, passed)
        for name in list_folders(folder):
            if below := walk_images(folder / name, passed):
                passed.add("in sub-folders", str(folder / name / below[0]), len(below))
    if not names:
        raise UserError(f"{absolute(folder)}: holds no images; unpack the data set again (see datasets/README.md)")
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
)
LTCC = Layout(
    "ltcc",
    ("LTCC_ReID", "LTCC"),
    Published({"train": 9_576, "query": 493, "gallery": 7_050}, {"train": 77, "query": 75, "gallery": 75}),
    {"train": "train", "query": "query", "gallery": "test"},
    re.compile(r"(?P<person>\d{1,9})_(?P<clothes>\d{1,4})_c(?P<camera>\d{1,4})"),
    "is not like 000_1_c10_015833.png",
    0,
)


_DUKE_TERMS = (
    "DukeMTMC-reID (Zheng et al., ICCV 2017) was released for academic research only, and DukeMTMC, of which it is "
    "made, was withdrawn by its authors in 2019."
)


def _load(cfg: CfgNode, layout: Layout) -> ReIDData:
    root = find_folder(cfg.DATA.ROOT, layout.folders, layout.tested)
    return check_data(layout.read(root), cameras=cfg.DATA.CAMERAS)


@register_data("dukemtmc", task="retrieval", terms=_DUKE_TERMS, research_only=True)
def load_dukemtmc(cfg: CfgNode) -> ReIDData:
    """DukeMTMC-reID (Zheng et al., ICCV 2017), which its authors have withdrawn: for those who may use their copy."""
    return _load(cfg, DUKE)


@register_data("occluded_duke", task="retrieval", terms=_DUKE_TERMS, research_only=True)
def load_occluded_duke(cfg: CfgNode) -> ReIDData:
    """Occluded-DukeMTMC (Miao et al., ICCV 2019): its authors' script makes it of DukeMTMC-reID's archive."""
    return _load(cfg, OCCLUDED_DUKE)


@register_data(
    "veri776",
    task="retrieval",
    terms="VeRi-776 (Liu et al., ECCV 2016) is given by its authors on request, for non-commercial purposes.",
    research_only=True,
)
def load_veri776(cfg: CfgNode) -> ReIDData:
    """VeRi-776 (Liu et al., ECCV 2016): vehicles in place of persons. Image to image, not in the query's camera."""
    return _load(cfg, VERI)


@register_data(
    "ltcc",
    task="retrieval",
    section=SECTION,
    options=ProtocolOptions,
    protocol=("CLOTHES",),
    terms="LTCC (Qian et al., ACCV 2020) is for those who signed its authors' agreement.",
    research_only=True,
)
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

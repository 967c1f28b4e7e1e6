"""Finding a published data set on a disk, and comparing it with what was published of it."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reid_dml.data.listing import list_folders
from reid_dml.data.records import DISTRACTOR, ImageRecord
from reid_dml.data.sets.places import check_root
from reid_dml.errors import UserError, absolute

_ARCHIVES = re.compile(r"\.(zip|tgz|tar|tar\.gz|rar|7z)$", re.IGNORECASE)
MARKET_SPLITS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}


@dataclass(frozen=True)
class Published:
    """Numbers of a data set as its authors count them, by split."""

    images: Mapping[str, int]
    persons: Mapping[str, int] = field(default_factory=dict)


def find_folder(root: str | os.PathLike[str], names: Sequence[str], needs: Sequence[str]) -> Path:
    """The folder of a data set: see `locate`.

    Args:
        root: `DATA.ROOT`.
        names: of the folder; the first is that of the authors' archive.
        needs: folders and files in it, which may be below others (`rgb/train`).

    Raises:
        UserError: naming the `DATA.ROOT` that was meant, or what is missing.
    """
    if found := locate(root, names, needs):
        return found
    what = f"{names[0]}/ with {', '.join(needs)}"
    check_root(root, lambda place: named(place, names, needs) is not None, what)
    return _explain(Path(root), names, needs)


def locate(root: str | os.PathLike[str], names: Sequence[str], needs: Sequence[str]) -> Path | None:
    """The folder of a data set below `DATA.ROOT`, by one of its names in any spelling, in a folder of such a name, or
    `DATA.ROOT` itself; None where it is not there.

    Args:
        root, names, needs: as for `find_folder`.
    """
    return named(root, names, needs) or (None if _absent(Path(root), needs) else Path(root))


def named(root: str | os.PathLike[str], names: Sequence[str], needs: Sequence[str]) -> Path | None:
    """`locate` without `DATA.ROOT` itself.

    Args:
        root, names, needs: as for `find_folder`.
    """
    return next((folder for folder in _candidates(Path(root), names) if not _absent(folder, needs)), None)


def child(folder: Path, name: str) -> Path | None:
    """A file or folder inside, in any mixture of capitals; None if there is none. `name` may have several parts."""
    for part in name.split("/"):
        if (folder / part).exists():
            folder = folder / part
            continue
        alike = [entry for entry in _entries(folder) if entry.casefold() == part.casefold()]
        if not alike:
            return None
        folder = folder / alike[0]
    return folder


def inside(folder: Path, name: str) -> Path:
    """A folder that `find_folder` made sure of; where copies hold it in a second one of its name, that one."""
    found = child(folder, name) or folder / name
    entries = [entry for entry in _entries(found) if not entry.startswith(".")]
    again = found / name.rsplit("/", 1)[-1]
    return again if entries == [again.name] and again.is_dir() else found


def not_found(folder: Path) -> str:
    """What is said of a folder of a data set that is not there."""
    return f"{absolute(folder)}: folder not found; see datasets/README.md for the layout, or set DATA.ROOT"


def compare_counts(root: Path, splits: Mapping[str, Sequence[ImageRecord]], published: Published) -> None:
    """One warning that names every number of images or identities that differs from the published one.

    Args:
        root: of the data set.
        splits: as they lie on the disk, with junk and distractors.
        published: numbers of the splits that are compared.
    """
    identities = {
        split: len({record.person_id for record in records if record.person_id > DISTRACTOR})
        for split, records in splits.items()
    }
    counted = {split: len(records) for split, records in splits.items()}
    differences = [
        f"{split} has {found.get(split, 0):,} {what} instead of {official:,}"
        for what, found, numbers in (
            ("images", counted, published.images),
            ("identities", identities, published.persons),
        )
        for split, official in numbers.items()
        if found.get(split, 0) != official and (split != "train" or splits.get(split))
    ]
    if differences:
        warnings.warn(
            f"{root}: {'; '.join(differences)}: results are not comparable unless you expected this", stacklevel=3
        )


def read_text_lines(path: Path, remedy: str) -> list[tuple[str, str]]:
    """The lines of a list with their places, blank ones left out. Raises `UserError` if there are none."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    found = [(line.strip(), f"{path}: line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise UserError(f"{path}: lists no images; {remedy}")
    return found


def _candidates(root: Path, names: Sequence[str]) -> Iterator[Path]:
    """The folders of these names, exact spellings first, each before the folders in it."""
    wanted = [_plain(name) for name in names]
    known = [name for name in _folders(root) if _plain(name) in wanted]
    known.sort(key=lambda name: (name not in names, wanted.index(_plain(name)), name))
    for name in known:
        yield root / name
        yield from (root / name / below for below in _folders(root / name))


def _absent(folder: Path, needs: Sequence[str]) -> list[str]:
    return [name for name in needs if child(folder, name) is None]


def _explain(root: Path, names: Sequence[str], needs: Sequence[str]) -> Path:
    known = [folder for folder in _candidates(root, names) if _plain(folder.name) in map(_plain, names)]
    for folder in known:
        if not _absent(folder, list(MARKET_SPLITS.values())):
            raise UserError(
                f"{absolute(folder)}: a copy in Market-1501's layout, without {', '.join(_absent(folder, needs))}; "
                f"read it with DATA.NAME folder DATA.ROOT {folder}, or unpack the authors' archive"
            )
    if known:
        raise UserError(
            f"{absolute(known[0])}: holds no {', '.join(_absent(known[0], needs))}; unpack the data set again (see "
            "datasets/README.md for the layout)"
        )
    for name in _entries(root):
        if _ARCHIVES.search(name) and _plain(_ARCHIVES.sub("", name)) in map(_plain, names):
            raise UserError(f"{absolute(root / name)}: is not unpacked; unpack it there")
    raise UserError(not_found(root / names[0]))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def _folders(folder: Path) -> list[str]:
    try:
        return list_folders(folder)
    except OSError:
        return []


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []

"""Converting feature files between formats."""

from __future__ import annotations

import os
from collections.abc import Mapping

from reid_dml.features.formats import read_features, write_features, write_splits


def convert_file(source: str | os.PathLike[str], output: str | os.PathLike[str], *, split: str = "") -> None:
    """Write the features of one file in the format of another's name.

    Args:
        source: a feature file of any format.
        output: the file to write.
        split: of a .mat file of several sets, the one to read: query, gallery or multi_query.

    Raises:
        UserError: a file that cannot be read or written.
    """
    features = read_features(source, split)
    write_features(features, output)
    print(f"{output}: {len(features):,} features of {features.features.shape[1]} dimensions")


def join_splits(sources: Mapping[str, str | os.PathLike[str]], output: str | os.PathLike[str]) -> None:
    """Write one .mat file of several sets from a feature file each, by split. Raises `UserError` as `convert_file`."""
    sets = {split: read_features(path) for split, path in sources.items()}
    write_splits(sets, output)
    print(f"{output}: " + ", ".join(f"{len(features):,} {split} features" for split, features in sets.items()))

"""reid_dml: person re-identification with deep mutual learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["FeatureExtractor", "__version__"]

if TYPE_CHECKING:
    from reid_dml.features.extractor import FeatureExtractor


def __getattr__(name: str) -> object:
    # Imported at first use: `tools/... --help` must not wait for torch.
    if name == "FeatureExtractor":
        from reid_dml.features.extractor import FeatureExtractor

        return FeatureExtractor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Our version, and those of what decides a result, for records and manifests."""

from __future__ import annotations

import platform
from importlib import metadata

__version__ = "0.1.0"
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "faiss-gpu", "faiss-cpu")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found

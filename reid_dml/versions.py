"""Our version, and those of what decides a result, for records and manifests."""

from __future__ import annotations

__version__ = "0.1.0"
_PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "faiss-gpu", "faiss-cpu")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that decide a result."""
    import platform  # both take their time to import
    from importlib import metadata

    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found

"""Our version and revision, and the versions of what decides a result, for records and manifests."""

from __future__ import annotations

from pathlib import Path

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


def git_revision() -> str:
    """The checkout's commit, with `+` for uncommitted changes; empty outside a checkout of this project.

    A package installed into a folder of somebody else's checkout, or copied there, has no revision of its own.
    """
    import subprocess  # takes its time to import

    file = Path(__file__).resolve()

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(file.parent), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if git("rev-parse", "--show-prefix") != f"{file.parent.name}/":
            return ""  # not at the top
        git("ls-files", "--error-unmatch", file.name)
        # Records and pages made from them compute nothing.
        changed = git(
            "status",
            "--porcelain",
            "--untracked-files=no",
            *(f":(top,exclude){path}" for path in ("results", "docs", "*.md")),
        )
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""

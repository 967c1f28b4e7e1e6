"""`reid-dml --version`: what a report of a defect should say of the machine and of what is installed there."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib import metadata
from pathlib import Path

import torch

from reid_dml.device import describe_device
from reid_dml.versions import __version__, git_revision, versions


def print_version() -> None:
    """Our version and where it is, versions of what decides a result, extras that are there, and the devices."""
    revision = f", revision {found}" if (found := git_revision()) else ""
    print(f"reid-dml {__version__}{revision}, {Path(__file__).resolve().parents[1]}")
    print(f"Python {platform.python_version()}, {sys.executable}")
    print(platform.platform())
    print(", ".join(f"{name} {version}" for name, version in versions().items() if name != "python"))
    print(f"CUDA of torch: {torch.version.cuda or 'none'}; {os.cpu_count()} cores")
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    for device in ["cpu", *gpus]:
        print(f"{device}: {describe_device(device)}")
    for extra, there in extras().items():
        print(f"[{extra}] " + ", ".join(f"{name} {version or 'is missing'}" for name, version in there.items()))


def extras() -> dict[str, dict[str, str]]:
    """Packages of every extra, and their versions; empty: not installed."""
    found: dict[str, dict[str, str]] = {}
    try:
        requirements = metadata.requires("reid_dml") or []
    except metadata.PackageNotFoundError:  # a checkout that was not installed
        requirements = []
    for requirement in requirements:
        words = re.match(r"([\w.-]+)(?:.*extra *== *[\'\"]([\w-]+))?", requirement)
        if words and words[2] and words[1] != "reid_dml":
            try:
                version = metadata.version(words[1])
            except metadata.PackageNotFoundError:
                version = ""
            found.setdefault(words[2], {})[words[1]] = version
    return found

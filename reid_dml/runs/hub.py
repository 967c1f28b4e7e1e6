"""Model folders on a Hugging Face hub, which is asked only where a name says so: `hf://owner/name`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from reid_dml.errors import UserError
from reid_dml.extras import check

PREFIX = "hf://"
# What a model folder consists of; nothing else is fetched, no pickle in particular.
_FILES = ["config.yml", "result.json", "README.md", "network_*.safetensors"]
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w./-]+)?")


def is_hub_id(name: str) -> bool:
    """Whether a name could be `owner/name` or `owner/name@revision` of a hub."""
    return _ID.fullmatch(name) is not None


def local_path(name: str | os.PathLike[str]) -> Path:
    """The folder or file of a name: itself, or of `hf://owner/name[@revision]` the copy in the user's cache.

    A copy that is there already is used where the hub does not answer.

    Raises:
        UserError: a hub that has no such model folder, or none that answers.
    """
    text = os.fspath(name)
    if not text.startswith(PREFIX):
        return Path(text)
    if not is_hub_id(text.removeprefix(PREFIX)):
        raise UserError(
            f"{text}: is no name of a hub's model; it looks like hf://owner/name or hf://owner/name@revision"
        )
    return Path(_fetch(text))


def _fetch(name: str) -> str:
    repository, _, revision = name.removeprefix(PREFIX).partition("@")
    check(("huggingface_hub",), "hub", name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return snapshot_download(repository, revision=revision or None, allow_patterns=_FILES)
    except LocalEntryNotFoundError:
        why = "the hub does not answer and there is no copy in the cache; copy the model folder here and name that"
    except (OSError, ValueError) as failure:  # what the hub's client raises for its refusals
        first = next(iter(str(failure).strip().splitlines()), type(failure).__name__)
        why = f"cannot be fetched ({first[:160]}); check the name, or name a local model folder"
    raise UserError(f"{name}: {why}")

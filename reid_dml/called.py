"""How the user called: what a command prints names other commands in the same way.

Texts of the library say `reid-dml train`. Whoever started `tools/train_net.py` in a checkout reads that instead.
"""

from __future__ import annotations

import os
import re
import sys

# Sub-command of `reid-dml` -> the script in tools/ that is the same command.
TOOLS = {
    "train": "train_net",
    "test": "test_net",
    "extract": "extract_features",
    "score": "score_features",
    "index": "build_index",
    "search": "search_gallery",
    "verify": "verify",
    "calibrate": "calibrate",
    "analyse": "analyse",
    "convert": "convert_features",
    "networks": "list_networks",
    "save": "save_model",
    "export": "export_model",
    "serve": "serve",
    "reproduce": "reproduce",
    "compare": "compare_runs",
    "results": "make_results",
}


def as_called(text: str) -> str:
    """A text with its commands as this user types them.

    `reid-dml train` and `-m reid_dml train` (behind torchrun) become `tools/train_net.py` where a script of tools/ was
    started; at the start of a line, where they are examples, with `python` before them.
    """
    folder, script = os.path.split(os.path.abspath(sys.argv[0]))
    if os.path.basename(folder) != "tools" or script.removesuffix(".py") not in TOOLS.values():
        return text
    names = "|".join(TOOLS)
    text = re.sub(rf"^( *)reid-dml ({names})\b", lambda m: f"{m[1]}python tools/{TOOLS[m[2]]}.py", text, flags=re.M)
    return re.sub(rf"(?:-m reid_dml|reid-dml) ({names})\b", lambda m: f"tools/{TOOLS[m[1]]}.py", text)

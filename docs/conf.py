"""The documentation site: `make site` builds it from the pages of this folder, the README and the docstrings.

The pages are written to be read in the repository as well. On the site the README is the first page, and links that
leave this folder lead to the page that shows the file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

from reid_dml import __version__

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

project = "reid_dml"
copyright = "The developers of reid_dml"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["search.md"]  # its name is taken by the site's own search page; shown as `searching`
html_theme = "furo"
html_title = f"reid_dml {version}"

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]
default_role = "code"  # docstrings put names in single backquotes
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_use_rtype = False

# Files of the repository that are pages of the site, below this folder's parent.
SHOWN = {
    "README.md": "index",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "datasets/README.md": "datasets",
    "docs/search.md": "searching",
}
# Files that a page shows among other things.
LINKS = {"examples/plain_loop.py": "plain_loop"}
_LINK = re.compile(r"(?<=\]\()(?!https?:)([^)#\s]+)(?=[)#])")


def read_source(_app: Sphinx, page: str, source: list[str]) -> None:
    """Fill the pages that show a file of the repository, and point links at pages."""
    here = (DOCS / page).parent
    for file, shown in SHOWN.items():
        if page == shown:
            here = (ROOT / file).parent
            source[0] = f"{(ROOT / file).read_text(encoding='utf-8')}\n\n{source[0]}"
    source[0] = _LINK.sub(lambda found: _target(here / found[1], DOCS / page), source[0])


def _target(file: Path, page: Path) -> str:
    """A link to a file, as the site's page writes it."""
    file = Path(os.path.normpath(file))
    shown = (SHOWN | LINKS).get(file.relative_to(ROOT).as_posix())
    return os.path.relpath(DOCS / f"{shown}.md" if shown else file, page.parent)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", read_source)

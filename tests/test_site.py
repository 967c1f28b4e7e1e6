"""The documentation site is built without a warning, and every link between its pages leads somewhere."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

import pytest
import yaml

from reid_dml import __version__
from tests.conftest import REPOSITORY


class Links(HTMLParser):
    """Targets of the links of a page, and what they may lead to in it."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, text in attrs:
            if name in ("href", "src") and text:
                self.targets.append(text)
            if name == "id" and text:
                self.names.add(text)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", "docs", str(folder)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_link_leads_to_a_page_of_the_site_and_a_place_on_it(site):
    pages = {}
    for file in site.rglob("*.html"):
        if "_modules" in file.parts:  # listings of sources
            continue
        pages[file] = Links()
        pages[file].feed(file.read_text())
    seen = 0
    for file, page in pages.items():
        for target in page.targets:
            if target.startswith(("http:", "https:", "data:", "mailto:")):
                continue
            path, _, name = target.partition("#")
            where = (file.parent / path.partition("?")[0]).resolve() if path else file
            assert where.exists(), f"{file.name}: {target}"
            if name and where in pages:
                assert name in pages[where].names, f"{file.name}: {target}"
            seen += 1
    assert seen > 1000


def test_no_page_is_left_out(site):
    """Sphinx warns of pages in no table of contents; here of the files that other names stand for."""
    for file, words in {
        "index": "evaluate_rankings",
        "datasets": "Market-1501-v15.09.15",
        "searching": "--not-camera",
    }.items():
        assert words in (site / f"{file}.html").read_text()
    assert "student_loss" in (site / "api" / "mutual.html").read_text()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)

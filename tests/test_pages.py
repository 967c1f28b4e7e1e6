"""What the pages of docs/ for users show runs as it stands, block after block."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid_dml.data.sets.pedestrians import Camera, Pedestrian, draw
from tests.conftest import REPOSITORY


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (REPOSITORY / "docs" / page).read_text(), re.S)


def run(words: list[str], folder: Path, programs: Path) -> str:
    path = os.pathsep.join([str(programs), os.path.dirname(sys.executable), os.environ["PATH"]])
    imports = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": imports, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `reid-dml`, as an installation of this checkout leaves it."""
    folder = tmp_path_factory.mktemp("bin")
    (folder / "reid-dml").write_text(f'#!/bin/sh\nexec {sys.executable} -m reid_dml "$@"\n')
    (folder / "reid-dml").chmod(0o755)
    return folder


@pytest.mark.parametrize(("page", "package"), [("python.md", ""), ("trackers.md", "supervision")])
def test_the_python_of_a_page_runs_from_top_to_bottom(behind_the_quickstart, programs, page, package):
    if package:
        pytest.importorskip(package)
    code = "\n".join(blocks(page, "python")).replace('"TRAIN.STEPS", "60"', '"TRAIN.STEPS", "5"')
    run([sys.executable, "-c", code], behind_the_quickstart, programs)


def test_the_page_on_python_re_ranks_as_the_commands_do(behind_the_quickstart, programs):
    junk = """
import numpy as np
gallery.person_ids[np.random.default_rng(0).permutation(len(gallery))[:9]] = -1  # the quickstart's has none
found = """
    checks = """
from reid_dml.ranking.scoring import ScoringOptions, score
expected = score({"query": query, "gallery": gallery}, ScoringOptions(rerank=(20, 6, 0.3)))["reranked"]["mAP"]
found = evaluate_distances(distances, query, searched).mAP
assert abs(found - expected) < 1e-4, (found, expected)  # scaled to length 1 twice
"""
    code = "\n".join([*blocks("python.md", "python")[:2], checks]).replace("\nfound = ", junk)
    assert junk in code
    run([sys.executable, "-c", code], behind_the_quickstart, programs)


def test_the_shell_commands_of_the_page_on_trackers_run(behind_the_quickstart, programs):
    for block in blocks("trackers.md", "sh"):
        assert "by overlap alone" in run(["bash", "-ec", block], behind_the_quickstart, programs)


def test_from_photos_to_the_answer(tmp_path, programs):
    names = ["anna", "ben", *(f"person{number}" for number in range(18))]
    for number, name in enumerate(names):
        for camera, place in enumerate(("door", "hall")):
            (tmp_path / "photos" / name / place).mkdir(parents=True)
            for photo in range(1, 4):
                rng = np.random.default_rng([number, camera, photo])
                image = draw(Pedestrian.of(0, number), Camera.of(0, camera), rng)
                cv2.imwrite(str(tmp_path / "photos" / name / place / f"{photo}.jpg"), image[..., ::-1])
    shell = "\n".join(blocks("own_photos.md", "sh"))
    shell, shortened = re.subn(r"TRAIN.STEPS \d+", "TRAIN.STEPS 20 TEST.TRAIN_ACCURACY False", shell)
    assert shortened == 1
    said = run(["bash", "-ec", shell], tmp_path, programs)
    assert len(re.findall(r"^(?:the same person|different persons): similarity ", said, re.M)) == 2
    assert (tmp_path / "found.png").is_file()
    assert run([sys.executable, "-c", "\n".join(blocks("own_photos.md", "python"))], tmp_path, programs)


@pytest.mark.parametrize("page", ["installation.md", "python.md", "own_photos.md", "trackers.md"])
def test_links_lead_somewhere_and_commands_exist(page):
    text = (REPOSITORY / "docs" / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (REPOSITORY / "docs" / target).exists(), target
    for name in re.findall(r"tools/(\w+)\.py", text):
        assert (REPOSITORY / "tools" / f"{name}.py").is_file()

"""Features as a folder of parts: those of one file, from any number of processes, resumed and shared out."""

from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest

from reid_dml.commands.extract import extract_images
from reid_dml.config import load_config
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import read_features
from reid_dml.features.part_folder import part_files
from reid_dml.search import Gallery
from tests.conftest import REPOSITORY


@pytest.fixture
def folder(tmp_path, rng):
    (tmp_path / "images").mkdir()
    for number in range(70):
        pixels = rng.integers(0, 256, (32, 16, 3), np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{number % 5:04d}_c{1 + number % 3}s1_{number:06d}_01.png"), pixels)
    return tmp_path / "images"


@pytest.fixture
def cfg(tiny_config, tiny_run):
    return load_config(tiny_config, ["MODEL.WEIGHTS", str(tiny_run), "TEST.BATCH_SIZE", "8"])


def joined(path):
    parts = [read_features(file) for file in part_files(path)]
    columns = ("features", "person_ids", "camera_ids", "paths")
    return FeatureSet(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns), parts[0].model)


def test_parts_hold_what_one_file_holds_and_are_indexed_like_it(cfg, folder, tmp_path, command):
    expected = extract_images(cfg, [folder], tmp_path / "one.npz")
    extract_images(cfg, [folder], tmp_path / "parts")
    assert len(part_files(tmp_path / "parts")) == 9
    found = joined(tmp_path / "parts")
    assert found.digest() == expected.digest()
    result = command("build_index", "--index", tmp_path / "i", "--features", tmp_path / "parts")
    assert "70 images" in result.out, result.err
    assert Gallery.open(tmp_path / "i").table["path"].to_pylist() == expected.paths.tolist()


def test_what_is_done_is_not_done_again_and_what_does_not_follow_is(cfg, folder, tmp_path):
    extract_images(cfg, [folder], tmp_path / "parts")
    files = part_files(tmp_path / "parts")
    (tmp_path / "parts" / "parts.json").unlink()
    with pytest.raises(UserError, match="its extraction has not ended"):
        part_files(tmp_path / "parts")
    before = {file: file.stat().st_mtime_ns for file in files}
    files[3].unlink()
    image = sorted(folder.iterdir())[-1]  # of the last part
    cv2.imwrite(str(image), np.zeros((32, 16, 3), np.uint8))
    extract_images(cfg, [folder], tmp_path / "parts")
    after = part_files(tmp_path / "parts")
    assert after[:-1] == files[:-1]
    assert after[-1] != files[-1]
    assert not files[-1].exists()
    assert [file.stat().st_mtime_ns == before[file] for file in after[:-1]] == [place != 3 for place in range(8)]
    # Other labels are other parts.
    extract_images(cfg, [folder], tmp_path / "parts", labels="none")
    assert not {*after} & {*part_files(tmp_path / "parts")}
    assert (joined(tmp_path / "parts").person_ids == -2).all()


def test_broken_images_are_left_out_of_their_part(cfg, folder, tmp_path):
    sorted(folder.iterdir())[10].write_bytes(b"no image")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.DATA.SKIP_BROKEN = True
    with pytest.warns(UserWarning, match="left out"):
        expected = extract_images(cfg, [folder], tmp_path / "one.npz")
    with pytest.warns(UserWarning, match="left out"):
        extract_images(cfg, [folder], tmp_path / "parts")
    found = joined(tmp_path / "parts")
    assert [len(read_features(file)) for file in part_files(tmp_path / "parts")] == [8, 7, 8, 8, 8, 8, 8, 8, 6]
    np.testing.assert_array_equal(found.paths, expected.paths)
    np.testing.assert_allclose(found.features, expected.features, atol=1e-6)


def test_a_place_that_is_no_folder_of_parts_is_refused(cfg, folder, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("")
    for name, words in (("file", "is a file"), ("other", "holds other files than parts, such as mine.txt")):
        with pytest.raises(UserError, match=words):
            extract_images(cfg, [folder], tmp_path / name)
    with pytest.raises(UserError, match="is a folder, not a feature file"):
        part_files(tmp_path / "other")


def test_a_killed_process_loses_a_part_and_a_second_start_goes_on(cfg, folder, tmp_path, tiny_config, tiny_run):
    extract_images(cfg, [folder], tmp_path / "alone")
    output = tmp_path / "parts"
    options = ("--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "TEST.BATCH_SIZE", 8, "--images", folder)
    script = tmp_path / "dies.py"  # process 1 is killed after its second part
    script.write_text(
        "import os, runpy, signal, sys\n"
        "from reid_dml.features.part_folder import PartFolder\n"
        "save, done = PartFolder.save, []\n"
        "def once(self, features, file):\n"
        "    save(self, features, file)\n"
        "    done.append(file)\n"
        "    if os.environ['RANK'] == '1' and len(done) == 2:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "PartFolder.save = once\n"
        f"sys.argv[0] = {str(REPOSITORY / 'tools' / 'extract_features.py')!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script]
    killed = subprocess.run([*command, *map(str, options), "--output", output], check=False, capture_output=True)
    assert killed.returncode != 0
    assert not (output / "parts.json").exists()
    before = {file: file.stat().st_mtime_ns for file in output.glob("part_*")}
    assert 2 <= len(before) < 9
    extract_images(cfg, [folder], output)  # with another number of processes
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert [file.name for file in part_files(output)] == [file.name for file in part_files(tmp_path / "alone")]
    assert joined(output).digest() == joined(tmp_path / "alone").digest()

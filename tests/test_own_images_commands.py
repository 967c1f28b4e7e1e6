"""Own labelled photos from end to end: training, testing elsewhere, features, scores and a threshold."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from reid_dml.features import FeatureSet

TINY = """
SCALE: smoke
DATA: {{NAME: folder_per_person, ROOT: {root}, STORED_SIZE: [32, 16], CACHE_DIR: ""}}
INPUT: {{SIZE: [32, 16]}}
COHORT: {{NETWORKS: [mobilenet_v1_0.25], LR: [1.0e-3]}}
OBJECTIVE: {{STRATEGY: independent}}
TRAIN: {{STEPS: 1, BATCH_SIZE: 4, LOG_INTERVAL: 1, CHECKPOINT_INTERVAL: 10}}
THREADS: 1
DEVICE: cpu
OUTPUT_DIR: {run}
"""


@pytest.fixture
def photos(tmp_path, rng):
    """Four persons with three photos each, no cameras."""
    for person in ("anna", "berta", "carl", "dora"):
        (tmp_path / "photos" / person).mkdir(parents=True)
        for number in range(3):
            image = rng.integers(0, 255, (32, 16, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "photos" / person / f"{number}.png"), image)
    return tmp_path / "photos"


@pytest.fixture
def config(tmp_path, photos):
    path = tmp_path / "own.yml"
    path.write_text(TINY.format(root=photos, run=tmp_path / "run"))
    return path


def test_all_persons_are_trained_on_where_none_is_tested(command, config, tmp_path):
    untested = ("OWN.TEST_SHARE", "0", "TRAIN.LOG_INTERVAL", "1", "TEST.INTERVAL", "1")
    result = command("train_net", "--config-file", config, *untested)
    assert result.code == 0, result.err
    assert "TEST.INTERVAL: 1: has no effect, all persons are trained on" in result.err
    assert "all persons are trained on: nothing to evaluate" in result.out
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"] == {}
    options = ("--config-file", config, "MODEL.WEIGHTS", tmp_path / "run")
    assert "nothing to evaluate on" in command("test_net", *options, "OWN.TEST_SHARE", "0").error


def test_saved_features_have_the_ids_and_names_of_extracted_ones(command, config, photos, tmp_path):
    assert command("train_net", "--config-file", config, "TEST.SAVE_FEATURES", "True", "OWN.SEED", "2").code == 0
    run, extracted = tmp_path / "run", tmp_path / "f.npz"
    assert command("extract_features", "--run", run, "--images", photos, "--labels", "folder", "--output",
                   extracted).code == 0  # fmt: skip
    saved, all_of_them = FeatureSet.load(run / "gallery.npz"), FeatureSet.load(extracted)
    ids = dict(zip(all_of_them.paths, all_of_them.person_ids, strict=True))
    assert saved.person_ids.tolist() == [ids[path] for path in saved.paths]
    assert (
        set(saved.names.persons.values())
        <= {"anna", "berta", "carl", "dora"}
        == set(all_of_them.names.persons.values())
    )


def test_photos_to_scores_and_a_threshold(command, config, photos, tmp_path):
    assert command("train_net", "--config-file", config).code == 0
    run, out = tmp_path / "run", tmp_path / "new" / "folder"
    result = command(
        *("extract_features", "--config-file", config, "MODEL.WEIGHTS", run),
        *("--images", photos, "--labels", "folder", "--output", out / "f.npz"),
    )
    assert result.code == 0, result.err
    rows = [f"{path.relative_to(tmp_path)};{path.parent.name}" for path in sorted(photos.glob("*/*.png"))]
    (tmp_path / "list.csv").write_text("\n".join(["Path;Person ID", *rows]) + "\n")
    result = command(
        *("score_features", "--run", run, "--query", tmp_path / "list.csv", "--gallery", out / "f.npz"),
        *("--json", out / "scores" / "s.json"),
    )
    assert result.code == 0, result.err
    assert "no camera ids: all cameras are unknown" in result.out
    assert "12 of 12 queries are in" in result.err  # one person has one id in a list and in folders
    assert json.loads((out / "scores" / "s.json").read_text())["single_query"]["num_queries"] == 12
    result = command(
        *("calibrate", "--run", run, "--features", photos, "--labels", "folder", "--false-accept-rate", "0.1"),
        *("--json", out / "thresholds" / "t.json"),
    )
    assert result.code == 0, result.err
    by_config = command(
        *("calibrate", "--config-file", config, "MODEL.WEIGHTS", run, "--features", photos, "--labels", "folder"),
        *("--false-accept-rate", "0.1", "--json", out / "thresholds" / "c.json"),
    )
    assert by_config.code == 0, by_config.err
    assert (out / "thresholds" / "c.json").read_text() == (out / "thresholds" / "t.json").read_text()
    assert "options are of networks" in command("calibrate", "MODEL.WEIGHTS", run, "--features", out / "f.npz").error
    result = command("calibrate", "--run", run, "--features", photos)
    assert "these are features without labels" in result.error
    result = command("build_index", "--run", run, "--images", tmp_path / "list.csv", "--index", out / "i.index")
    assert "12 images" in result.out


def test_a_search_shows_the_names_of_folders_and_cameras(command, config, tmp_path, rng):
    for person in ("anna", "berta"):
        (tmp_path / "new" / person).mkdir(parents=True)
        for name in ("hall_20260131", "yard_20260201"):
            image = rng.integers(0, 255, (32, 16, 3), dtype=np.uint8)
            cv2.imwrite(str(tmp_path / "new" / person / f"{name}.png"), image)
    assert command("train_net", "--config-file", config).code == 0
    index, features = tmp_path / "i", tmp_path / "f.npz"
    networks = ("--run", tmp_path / "run", "OWN.CAMERA_PATTERN", "(?P<camera>[a-z]+)_(?P<time>[0-9]+)")
    folder = (tmp_path / "new", "--labels", "folder", *networks)
    assert command("extract_features", "--output", features, "--images", *folder).code == 0
    assert command("build_index", "--index", index, "--features", features).code == 0
    search = ("search_gallery", "--index", index, "--json", tmp_path / "found.json", "--query")
    result = command(*search, *folder, "--camera", "yard", "--since", "2026-02-01", "--picture", tmp_path / "p.png")
    assert result.code == 0, result.err
    assert "anna/hall_20260131.png (person anna, camera hall)" in result.out
    first, *_, last = json.loads((tmp_path / "found.json").read_text())["answers"]
    assert (first["query"]["person"], last["query"]["camera"]) == ("anna", "yard")
    assert {(image["camera"], image["time"]) for image in first["images"]} == {("yard", "2026-02-01T00:00:00")}
    assert {image["person"] for image in first["images"]} == {"anna", "berta"}
    # One image of the gallery, whose folder cannot be told from a camera's, is known by the gallery.
    alone = (tmp_path / "new" / "anna" / "hall_20260131.png", *networks)
    assert "anna/hall_20260131.png (person anna, camera hall)" in command(*search, *alone).out
    query = json.loads((tmp_path / "found.json").read_text())["answers"][0]["query"]
    assert (query["person"], query["camera"]) == ("anna", "hall")
    result = command(*search, *folder, "--cameras", "ignore", "--k", 1)
    assert "(person anna, camera unknown)" in result.out
    error = command(*search, *folder, "OWN.CAMERA_PATTERN", "side(?P<camera>[0-9])").error
    assert "hall_20260131.png: OWN.CAMERA_PATTERN 'side(?P<camera>[0-9])' is not in" in error
    again = ("build_index", "--index", index, "--overwrite", "--features", features, "--cameras", "ignore")
    assert command(*again).code == 0
    assert "it has cameras -1" in command(*search, features, "--camera", "3").error


def test_another_place_is_tested_without_training_images(command, tiny_config, tiny_run, data_root, tmp_path):
    (source,) = data_root.glob("synthetic-pedestrians-*")
    (tmp_path / "other").mkdir()
    for folder in ("query", "bounding_box_test"):
        (tmp_path / "other" / folder).symlink_to(source / folder)
    options = ("--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run, "DATA.NAME", "folder")
    place = ("DATA.ROOT", tmp_path / "other", "DATA.CACHE_DIR", "")
    result = command("test_net", *options, *place, "TEST.MULTI_QUERY", "none")
    assert result.code == 0, result.err
    assert "multi-query was not run: switched off (TEST.MULTI_QUERY none)" in result.out
    assert (
        "bounding_box_train: folder not found"
        in command("test_net", *options, *place, "TEST.TRAIN_ACCURACY", "True").error
    )

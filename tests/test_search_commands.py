"""Building, searching, calibrating and converting as a user types it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from reid_dml.commands.train import train_and_evaluate
from reid_dml.data.image_paths import image_records
from reid_dml.data.sets import load_data
from reid_dml.features import FeatureSet
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.search import sources as index_sources
from reid_dml.search.gallery import Gallery


@pytest.fixture
def folders(make_config):
    root = Path(load_data(make_config()).root)
    return root / "query", root / "bounding_box_test"


@pytest.fixture
def features(command, tiny_config, tiny_run, folders, tmp_path):
    """Feature files of the tiny data set's query and gallery."""
    files = tmp_path / "q.npz", tmp_path / "g.npz"
    for folder, file in zip(folders, files, strict=True):
        result = command(
            "extract_features",
            "--config-file",
            tiny_config,
            "MODEL.WEIGHTS",
            tiny_run,
            "--images",
            folder,
            "--output",
            file,
        )
        assert result.code == 0, result.err
    return files


def test_images_and_feature_files_give_the_same_index_and_the_same_answers(
    command, tiny_config, tiny_run, folders, features, tmp_path, monkeypatch
):
    monkeypatch.setattr(index_sources, "_PART", 16)
    one = command("build_index", "--index", tmp_path / "a", "--images", folders[1], "--run", tiny_run)
    assert one.code == 0, one.err
    assert "512-d, cosine, type Flat" in one.out
    two = command("build_index", "--index", tmp_path / "b", "--features", features[1])
    assert two.code == 0, two.err
    answers = []
    for index, query in (("a", features[0]), ("b", folders[0])):
        networks = [] if query == features[0] else ["--config-file", tiny_config, "MODEL.WEIGHTS", tiny_run]
        found = command("search_gallery", "--index", tmp_path / index, "--query", query, "--json", tmp_path / "f.json",
                        "--picture", tmp_path / f"{index}.png", "--k", 3, "--show", 2, *networks)  # fmt: skip
        assert found.code == 0, found.err
        assert (tmp_path / f"{index}.png").read_bytes().startswith(b"\x89PNG")
        assert "more queries; print more with --show" in found.out
        answers.append(json.loads((tmp_path / "f.json").read_text())["answers"])
    assert [[image["path"] for image in answer["images"]] for answer in answers[0]] == [
        [image["path"] for image in answer["images"]] for answer in answers[1]
    ]
    query, gallery = (FeatureSet.load(file) for file in features)
    nearest = (query.features @ gallery.features.T).argmax(1)
    assert [answer["images"][0]["path"] for answer in answers[0]] == gallery.paths[nearest].tolist()
    assert FeatureExtractor.from_run(tiny_run, device="cpu").model == query.model


def test_an_argument_of_several_words_may_be_repeated(command, features, tmp_path):
    once = command("build_index", "--index", tmp_path / "a", "--features", *features)
    twice = command("build_index", "--index", tmp_path / "b", "--features", features[0], "--features", features[1])
    assert (once.code, twice.code) == (0, 0)
    assert len(Gallery.open(tmp_path / "a")) == len(Gallery.open(tmp_path / "b"))


def test_several_paths_are_extracted_into_one_file(command, tiny_run, folders, features, tmp_path):
    one, other = sorted(folders[0].iterdir())[:2]
    ask = ("extract_features", "--run", tiny_run, "--images")
    result = command(*ask, folders[1], "--output", tmp_path / "f.npz", "--images", one, other, "THREADS", "1")
    assert result.code == 0, result.err
    found = FeatureSet.load(tmp_path / "f.npz")
    query, gallery = (FeatureSet.load(file) for file in features)
    assert found.paths.tolist() == [*gallery.paths, str(one), str(other)]
    expected = np.concatenate([gallery.features, query.features[query.paths.tolist().index(str(one))][None]])
    np.testing.assert_allclose(found.features[:-1], expected, atol=2e-6)
    twice = command(*ask, folders[0], one, "--output", tmp_path / "no.npz").error
    assert f"1 images are named more than once, first {one}" in twice
    (tmp_path / "list.csv").write_text(f"path\n{one}\n")
    assert "is one of the inputs" in command(*ask, one, tmp_path / "list.csv", "--output", tmp_path / "list.csv").error
    assert (tmp_path / "list.csv").read_text() == f"path\n{one}\n"


def test_a_run_keeps_the_features_of_its_evaluation_as_they_would_be_extracted(features, make_config):
    cfg = make_config("TEST.SAVE_FEATURES", "True")
    train_and_evaluate(cfg)
    for extracted, split in zip(features, ("query", "gallery"), strict=True):
        kept, found = FeatureSet.load(Path(cfg.OUTPUT_DIR) / f"{split}.npz"), FeatureSet.load(extracted)
        assert kept.model == found.model
        rows = {path: row for row, path in enumerate(found.paths)}
        order = [rows[path] for path in kept.paths]
        np.testing.assert_allclose(kept.features, found.features[order], atol=2e-6)
        np.testing.assert_array_equal(kept.person_ids, found.person_ids[order])
    assert (Path(cfg.OUTPUT_DIR) / "boxes.npz").is_file()


def test_an_interrupted_index_of_images_goes_on_where_it_stopped(command, tiny_run, folders, tmp_path, monkeypatch):
    monkeypatch.setattr(index_sources, "_PART", 8)
    build = ("build_index", "--images", folders[1], "--run", tiny_run, "--index")
    assert command(*build, tmp_path / "whole").code == 0
    extract, extracted = FeatureExtractor.extract, []

    def stop(self, records, title):
        if len(extracted) == 2:
            raise KeyboardInterrupt
        extracted.append(title)
        return extract(self, records, title)

    monkeypatch.setattr(FeatureExtractor, "extract", stop)
    assert command(*build, tmp_path / "i").code == 130
    first, second = sorted((tmp_path / "i" / "building").glob("*.npz"))
    first.write_bytes(first.read_bytes()[:-30])  # a damaged part is made anew
    made = []

    def note(self, records, title):
        made.append(title)
        return extract(self, records, title)

    monkeypatch.setattr(FeatureExtractor, "extract", note)
    assert command(*build, tmp_path / "i").code == 0
    monkeypatch.setattr(FeatureExtractor, "extract", extract)
    count = len(Gallery.open(tmp_path / "i"))
    parts = -(-count // 8)
    assert made == [f"images, part {n} of {parts}" for n in (1, *range(3, parts + 1))]
    query = FeatureExtractor.from_run(tiny_run).extract(image_records([folders[0]]))
    for found, expected in zip(
        Gallery.open(tmp_path / "i").search(query, count), Gallery.open(tmp_path / "whole").search(query, count),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(found, expected)
    assert not second.exists()


def test_adding_removing_and_one_image(command, tiny_run, folders, features, tmp_path):
    index, image = tmp_path / "i", sorted(folders[0].iterdir())[0]
    assert command("build_index", "--index", index, "--features", features[1], "--metric", "euclidean").code == 0
    added = command("build_index", "--index", index, "--add", "--images", image, "--run", tiny_run)
    assert "1 images added" in added.out, added.err
    found = command(
        "search_gallery", "--index", index, "--query", image, "--run", tiny_run, "--threshold", 0.001, "--k", 2
    )
    assert f"  1  {image}" in found.out, found.err
    assert "  2  /" not in found.out
    assert "1 images removed" in command("build_index", "--index", index, "--remove", image).out
    found = command(
        "search_gallery", "--index", index, "--query", image, "--run", tiny_run, "--threshold", 0.001, "--k", 2
    )
    assert "no image within the threshold" in found.out


def test_calibrating_and_converting(command, features, tmp_path):
    query, gallery = features
    result = command("calibrate", "--features", query, "--gallery", gallery, "--false-accept-rate", 0.1, "--json",
                     tmp_path / "t.json")  # fmt: skip
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "t.json").read_text())
    assert 0 < found["false_accept_rate"] <= 0.1
    assert f"same person at a similarity of at least {found['threshold']:.4f}" in result.out
    for path in ("g.parquet", "g.mat", "back.npz"):
        assert command("convert_features", gallery, tmp_path / path).code == 0
        gallery = tmp_path / path
    np.testing.assert_array_equal(FeatureSet.load(gallery).features, FeatureSet.load(features[1]).features)
    assert command("convert_features", "--query", query, "--gallery", features[1], tmp_path / "r.mat").code == 0
    assert command("convert_features", "--split", "query", tmp_path / "r.mat", tmp_path / "q2.npz").code == 0
    assert FeatureSet.load(tmp_path / "q2.npz").model == FeatureSet.load(query).model


def test_the_same_person(command, tiny_run, folders, features, tmp_path):
    query, gallery = features
    threshold = tmp_path / "t.json"
    calibrated = command("calibrate", "--features", query, "--gallery", gallery, "--false-accept-rate", 0.1, "--sample",
                         5, "--json", threshold)  # fmt: skip
    assert "those of 5 drawn images with all others" in calibrated.out, calibrated.err
    images = sorted(folders[0].iterdir())[:2]
    first, second = (row for row in FeatureSet.load(query).features[:2])
    for arguments, words in (
        ([], "for a decision give --threshold"),
        (["--threshold", -1], "the same person: similarity"),
        (["--threshold", 1], "different persons: similarity"),
        (["--threshold", threshold], "probability of one person"),
    ):
        result = command("verify", *images, "--run", tiny_run, "--json", tmp_path / "v.json", *arguments)
        assert result.code == 0, result.err
        assert words in result.out
        assert json.loads((tmp_path / "v.json").read_text())["score"] == pytest.approx(first @ second, abs=1e-5)
    likely, unlikely = (
        command("verify", images[0], images[1], "--run", tiny_run, "--threshold", threshold, "--prior", prior,
                "--json", tmp_path / f"{prior}.json")
        for prior in (0.5, 0.01)
    )  # fmt: skip
    assert likely.code == unlikely.code == 0
    odds = [
        (p := json.loads((tmp_path / f"{prior}.json").read_text())["probability"]) / (1 - p) for prior in (0.5, 0.01)
    ]
    assert odds[1] == pytest.approx(odds[0] / 99)
    same = command("verify", images[0], images[0], "--run", tiny_run, "--threshold", threshold)
    assert "the same person: similarity 1.0000" in same.out
    (tmp_path / "other.json").write_text(threshold.read_text().replace(FeatureSet.load(query).model, "f" * 32))
    (tmp_path / "far.json").write_text(threshold.read_text().replace("cosine", "euclidean"))
    (tmp_path / "bad.json").write_text("{}")
    verify = ("verify", *images, "--run", tiny_run)
    for words, more in (
        (
            "those of the networks are of model",
            ("--threshold", tmp_path / "other.json"),
        ),
        ("calibrate again with these networks (tools/calibrate.py", ("--threshold", tmp_path / "other.json")),
        ("not a threshold file of tools/calibrate.py", ("--threshold", tmp_path / "bad.json")),
        ("gone.json: the threshold, a number or a file", ("--threshold", tmp_path / "gone.json")),
        ("nan: is not a finite number", ("--threshold", "nan")),
        ("threshold 7: cosine scores lie between -1 and 1", ("--threshold", 7)),
        (f"{images[0]}: two images are compared", (images[0],)),
        ("--prior 1.0: must lie between 0 and 1", ("--prior", 1)),
    ):
        assert words in command(*verify, *more).error
    index = tmp_path / "i"
    assert command("build_index", "--index", index, "--features", gallery).code == 0
    search = ("search_gallery", "--index", index, "--query", query, "--k", 3, "--json", tmp_path / "f.json")
    assert "a threshold for euclidean" in command(*search, "--threshold", tmp_path / "far.json").error
    assert "cannot be compared" in command(*search, "--threshold", tmp_path / "other.json").error
    assert command(*search, "--threshold", threshold).code == 0
    limit = json.loads(threshold.read_text())["threshold"]
    for answer in json.loads((tmp_path / "f.json").read_text())["answers"]:
        assert all(image["score"] >= limit for image in answer["images"])
    camera = int(FeatureSet.load(gallery).camera_ids[0])
    for option, fits in (("--camera", True), ("--not-camera", False)):
        assert command(*search, option, camera).code == 0
        for answer in json.loads((tmp_path / "f.json").read_text())["answers"]:
            assert len(answer["images"]) == 3
            assert all((image["camera_id"] == camera) == fits for image in answer["images"])
    assert "say how they stand in the file names" in command(*search, "--since", "2026-01-01").error


def test_refusals(command, tiny_config, tiny_run, folders, features, tmp_path):
    index = tmp_path / "i"
    assert command("build_index", "--index", index, "--features", features[1]).code == 0
    gallery = FeatureSet.load(features[1])
    gallery.with_features(gallery.features[:, :5].copy()).save(tmp_path / "narrow.npz")
    gallery.with_features(np.full_like(gallery.features, np.nan)).save(tmp_path / "nan.npz")
    shutil.copytree(index, tmp_path / "half")
    (tmp_path / "half" / "manifest.json").unlink()
    (tmp_path / "half" / "building").mkdir()
    (tmp_path / "photo.heic").write_bytes(b"heic")
    rows, short = tmp_path / "rows", ("--k", 3, "--show", 1)
    columns = ("features", "person_ids", "camera_ids")
    np.savez(f"{rows}.npz", **{name: getattr(gallery, name) for name in columns})
    assert command("build_index", "--index", rows, "--features", f"{rows}.npz").code == 0
    search = ("search_gallery", "--index", index, "--query")
    two = sorted(Path(folders[0]).iterdir())[:2]
    twice = (*two, *two, "--run", tiny_run)
    for words, arguments in (
        ("they cannot be compared", (*search, folders[0], "--run", tiny_run, "--network", "0")),
        ("networks are needed: give --run", (*search, folders[0])),
        ("not both", (*search, folders[0], "--run", tiny_run, "--config-file", tiny_config)),
        ("2 images are named more than once", ("build_index", "--index", tmp_path / "no", "--images", *twice)),
        ("features are 5-d", (*search, tmp_path / "narrow.npz")),
        ("NaN or infinite, first rows 0", (*search, tmp_path / "nan.npz")),
        (f"0 neighbours were asked for, {index} holds", (*search, features[0], "--k", 0)),
        ("a picture's name ends in .png", (*search, features[0], "--picture", tmp_path / "x.bmp")),
        ("gone: not found; name a feature file, or an image", (*search, "gone", "--run", tiny_run)),
        (
            "x.png: not drawn: 4 of 4 images are not there, first row 0",
            ("search_gallery", "--index", rows, "--query", f"{rows}.npz", "--picture", tmp_path / "x.png", *short),
        ),
        ("gone.jpg: the image or folder not found", (*search, "gone.jpg", "--run", tiny_run)),
        ("photo.heic: is no image (.apng, ", (*search, tmp_path / "photo.heic", "--run", tiny_run)),
        ("no feature file (.npz, .parquet, .mat); convert it", (*search, tmp_path / "photo.heic")),
        ("its building has not ended", ("search_gallery", "--index", tmp_path / "half", "--query", features[0])),
        ("SEED: options are of networks, but there are no images", (*search, features[0], "SEED", "1")),
        ("--run: there are no images to read; leave it out", (*search, features[0], "--run", tiny_run)),
        ("--labels: there are no images to read", (*search, features[0], "--labels", "folder")),
        ("--frame-step: there are no images to read", (*search, features[0], "--frame-step", 2)),
        ("SEED: options are of networks; name them with --run", (*search, folders[0], "SEED", "1")),
        ("SEED: options are of networks", ("build_index", "SEED", "1", "--index", index, "--features", features[1])),
        ("--cameras: there are no images", ("build_index", "--index", index, "--remove", "x", "--cameras", "ignore")),
        ("no camera is called 'hall'; none has a name", (*search, features[0], "--camera", "1,hall")),
        ("no such index", ("search_gallery", "--index", tmp_path / "gone", "--query", features[0])),
        ("holds an index", ("build_index", "--index", index, "--features", features[1])),
        ("are for building an index anew", ("build_index", "--index", index, "--remove", "x", "--type", "Flat")),
        ("holds no image x", ("build_index", "--index", index, "--remove", "x")),
        (
            "--false-accept-rate 2.0: must lie between",
            ("calibrate", "--features", features[0], "--false-accept-rate", 2),
        ),
        ("name a file to read and a file to write", ("convert_features", features[0])),
        ("is one of the inputs", ("convert_features", features[0], features[0])),
    ):
        assert words in command(*arguments).error
    assert command(*search, features[0], "--k", 1).code == 0


def test_a_run_folder_is_no_features(command, tiny_run, features, folders, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    for words in (
        ("score_features", "--query", run, "--gallery", features[1]),
        ("score_features", "--query", features[0], "--gallery", run, "--run", run),
        ("calibrate", "--features", run),
        ("build_index", "--index", tmp_path / "i", "--features", run),
        ("build_index", "--index", tmp_path / "i", "--images", run, "--run", run),
    ):
        error = command(*words).error
        assert f"{run}: is a folder of networks, where features or images are expected; give images with --run" in error
        assert f"tools/extract_features.py --run {run} --images DIR --output features.npz" in error
    shutil.copy(features[0], run / "query.npz")
    assert f"give a feature file of it, such as {run / 'query.npz'}" in command("calibrate", "--features", run).error


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (("--index", ""), "--index '': names no index"),
        (("--k1", 5), "--k1 5: is of re-ranking; add --rerank, or leave it out"),
        (("--k2", 6), "--k2 6: is of re-ranking"),
        (("--lambda", 0.5), "--lambda 0.5: is of re-ranking"),
        (("--alpha", 3), "--alpha 3.0: is of query expansion; add --expand N"),
        (("--pooling", "max"), "--pooling max: is of multi-query; add --multi-query FILE"),
        (("--ensemble", "raw"), "--ensemble raw: is of several files for each side"),
    ],
)
def test_an_option_of_scoring_without_effect_is_refused(command, features, option, words):
    assert words in command("score_features", "--query", features[0], "--gallery", features[1], *option).error


def test_a_feature_file_may_have_any_name(command, features, tmp_path):
    shutil.copy(features[0], tmp_path / "q.features")
    found = []
    for query in (features[0], tmp_path / "q.features"):
        words = ("score_features", "--query", query, "--gallery", features[1], "--json", tmp_path / "m.json")
        assert command(*words).code == 0
        found.append(json.loads((tmp_path / "m.json").read_text()))
    assert found[0] == found[1]


def test_options_of_scoring_have_their_defaults(command, features, tmp_path):
    words = ("score_features", "--query", features[0], "--gallery", features[1], "--rerank", "--expand", 3, "--json")
    assert command(*words, tmp_path / "a.json").code == 0
    more = ("--k1", 20, "--k2", 6, "--lambda", 0.3, "--alpha", 0)
    assert command(*words, tmp_path / "b.json", *more).code == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "b.json").read_text()


def test_calibrating_on_persons_that_were_trained_on_is_said(command, tiny_run, folders, tmp_path):
    calibrate = ("calibrate", "--false-accept-rate", 0.3, "--run", tiny_run, "--features")
    trained = folders[0].parent / "bounding_box_train"
    said = command(*calibrate, trained)
    assert said.code == 0, said.err
    persons = len({record.person_id for record in image_records([trained])} - {0, -1})
    assert f"the networks were trained on {persons} of these {persons} persons" in said.err
    assert "too optimistic; calibrate on persons that they have not seen" in said.err
    elsewhere = shutil.copytree(trained, tmp_path / "photos")  # whose numbers may be other persons
    for unseen in (elsewhere, folders[1]):
        said = command(*calibrate, unseen)
        assert said.code == 0, said.err
        assert "trained on" not in said.err


@pytest.mark.parametrize("step", ["0", "-2", "x", "9" * 5000])
def test_a_step_of_frames_is_one_or_more(command, tiny_run, folders, tmp_path, step):
    words = ("extract_features", "--run", tiny_run, "--images", folders[0], "--output", tmp_path / "f.npz")
    assert "--frame-step" in (error := command(*words, f"--frame-step={step}").error)
    assert "must be a whole number of at least 1" in error


def test_classes_that_are_no_numbers_are_one_line(command, tiny_run, tiny_config, folders, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "run")
    (run / "classes.json").write_text('{"person_ids": [1e400], "images": ""}')
    error = command("calibrate", "--run", run, "--features", folders[0]).error
    assert f"{run / 'classes.json'}: damaged; it maps the rows" in error


def test_records_that_are_not_there_are_said(command, tmp_path):
    error = command("reproduce", "list", "--records", tmp_path / "gone").error
    assert f"--records {tmp_path / 'gone'}: no such folder" in error


def test_verifying_needs_two_images(command, tiny_run, folders):
    image = sorted(folders[0].iterdir())[0]
    for words in ((), (image,), (image, "MODEL.WEIGHTS", tiny_run)):
        error = command("verify", *words, "--config", "quickstart").error
        assert "two images are compared; name two image files" in error
        assert "KEY VALUE" not in error


def test_of_two_images_none_is_left_out(command, tiny_run, folders, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no image")
    ask = ("verify", tmp_path / "broken.png", sorted(folders[0].iterdir())[0], "--run", tiny_run)
    for options in ((), ("DATA.SKIP_BROKEN", "True")):
        error = command(*ask, *options).error
        assert "1 of 2 images cannot be read" in error
        assert "broken.png (corrupt or not an image); copy again what is broken, or name other images" in error


def test_more_images_than_there_are_is_all_of_them(command, features, tmp_path):
    index, gallery = tmp_path / "i", FeatureSet.load(features[1])
    assert command("build_index", "--index", index, "--features", features[1]).code == 0
    result = command("search_gallery", "--index", index, "--query", features[0], "--k", 999, "--json", tmp_path / "f")
    assert result.code == 0, result.err
    assert f"{index} holds {len(gallery)} images: all of them are ranked, not 999" in result.out
    answers = json.loads((tmp_path / "f").read_text())["answers"]
    assert {len(answer["images"]) for answer in answers} == {len(gallery)}

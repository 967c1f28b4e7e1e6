"""t-SNE maps: deterministic, clusters stay apart, rotations change nothing, refusals."""

from __future__ import annotations

import csv
import re

import cv2
import numpy as np
import pytest

from reid_dml import FeatureSet
from reid_dml.analysis.tsne import align, choose_persons, common_map, principal_components, silhouette, tsne
from reid_dml.errors import UserError
from reid_dml.features.names import Names


def clusters(rng, persons=3, each=12, width=6):
    """(features, persons) of clusters far apart beside their own size."""
    centres = 10 * np.eye(persons, width)
    ids = np.repeat(np.arange(1, persons + 1), each)
    return (centres[ids - 1] + 0.1 * rng.standard_normal((len(ids), width))).astype(np.float32), ids


def test_clusters_far_apart_are_apart_on_the_map_and_a_seed_gives_one_map(rng):
    features, ids = clusters(rng)
    found = tsne(features, seed=3)
    assert np.array_equal(found, tsne(features, seed=3))
    centres = np.stack([found[ids == person].mean(0) for person in (1, 2, 3)])
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).argmin(1) + 1
    assert np.array_equal(nearest, ids)


def test_principal_components_keep_distances(rng):
    features = rng.standard_normal((9, 5))
    reduced = principal_components(features, 5)
    assert np.allclose(np.linalg.norm(features[0] - features[1]), np.linalg.norm(reduced[0] - reduced[1]))
    assert (reduced.var(0)[:-1] >= reduced.var(0)[1:]).all()
    assert np.allclose(reduced, principal_components(features + 7, 5))


def test_a_turned_copy_is_turned_back_and_lies_on_the_first_network(rng):
    features, _ = clusters(rng)
    turn = np.linalg.qr(rng.standard_normal((6, 6)))[0]
    turned = np.pad(features @ turn, ((0, 0), (0, 2)))
    assert np.allclose(align(turned, features)[:, :6], features - features.mean(0), atol=1e-5)
    maps = common_map({"a": features, "b": turned.astype(np.float32)})
    extent = np.ptp(np.concatenate(list(maps.values())), axis=0).max()
    assert np.linalg.norm(maps["a"] - maps["b"], axis=1).mean() < 0.1 * extent


@pytest.mark.parametrize("rows", [np.zeros((3, 2), np.float32), np.ones((20, 2), np.float32)])
def test_what_has_no_map_is_refused(rows):
    with pytest.raises(ValueError, match=r"a map needs|equal"):
        tsne(rows)


def test_persons_are_drawn_from_those_with_images_enough():
    persons = np.array([-1, -1, 0, 0, 5, 5, 6, 7, 7, 9, 9])
    assert choose_persons(persons, count=9) == [5, 7, 9]
    assert choose_persons(persons, count=2, seed=1) == choose_persons(persons, count=2, seed=1)
    assert choose_persons(persons, wanted=[9, 6]) == [6, 9]
    with pytest.raises(UserError, match="identity 8: has no image"):
        choose_persons(persons, wanted=[8])


def test_silhouette_of_two_opposite_pairs_is_one():
    features = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert silhouette(features, np.array([1, 1, 2, 2])) == pytest.approx(1)


def test_two_runs_of_one_data_set_side_by_side(command, tiny_run, tmp_path):
    result = command("analyse", "tsne", "--run", tiny_run, "--output", tmp_path, "--identities", "3")
    assert result.code == 0, result.err
    rows = list(csv.DictReader((tmp_path / "tsne.csv").open()))
    assert {row["map"] for row in rows} == {"own", "common"}
    assert len({row["identity"] for row in rows}) == 3
    assert len({row["network"] for row in rows}) == 2
    page = (tmp_path / "tsne.html").read_text()
    assert page.count("data:image/jpeg") == len(rows) // 4
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    before = (tmp_path / "tsne.svg").read_bytes()
    assert command("analyse", "tsne", "--run", tiny_run, "--output", tmp_path, "--identities", "3").code == 0
    assert (tmp_path / "tsne.svg").read_bytes() == before
    assert b"<image" not in before
    ask = ("analyse", "tsne", "--run", tiny_run, "--output", tmp_path, "--identities", "3", "--thumbnails")
    assert command(*ask).code == 0
    for name in ("tsne.svg", "tsne_common.svg"):  # every image on the map of each of the two networks
        assert (tmp_path / name).read_text().count("<image ") == len(rows) // 2


def test_feature_files_need_no_image_but_identities(command, rng, tmp_path):
    features, ids = clusters(rng)
    paths = [f"</script>{row}.jpg" for row in range(len(ids))]
    FeatureSet(features, ids, ids % 2, paths).save(tmp_path / "a.npz")
    FeatureSet(features, np.full(len(ids), -2), ids, paths).save(tmp_path / "unknown.npz")
    FeatureSet(features, ids, ids % 2, paths[::-1]).save(tmp_path / "other.npz")
    ask = ("analyse", "tsne", "--output", tmp_path / "out", "--features")
    assert command(*ask, tmp_path / "a.npz").code == 0
    assert (tmp_path / "out/tsne.html").read_text().count("</script>") == 1
    assert "no images of known identities" in command(*ask, tmp_path / "unknown.npz").error
    assert "run from their folder" in command(*ask, tmp_path / "a.npz", "--thumbnails").error
    assert "other images than" in command(*ask, tmp_path / "a.npz", "--features", tmp_path / "other.npz").error
    assert "did you mean 'tsne'?" in command("analyse", "t-sne", "--output", tmp_path).error
    assert "--run" in command("analyse", "tsne", "--output", tmp_path).error
    assert "--seed -1: must lie between 0 and 4,294,967,295" in command(*ask, tmp_path / "a.npz", "--seed", "-1").error
    assert "must be greater than 0" in command(*ask, tmp_path / "a.npz", "--identities", "0").error


def test_frames_of_a_video_are_shown_and_read_by_a_run(command, rng, tiny_run, tmp_path):
    features, ids = clusters(rng)
    video = cv2.VideoWriter(str(tmp_path / "walk.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 64))
    for _ in ids:
        video.write(rng.integers(0, 256, (64, 32, 3), dtype=np.uint8))
    video.release()
    paths = [f"{tmp_path}/walk.avi#{row:06d}" for row in range(len(ids))]
    FeatureSet(features, ids, ids % 2, paths).save(tmp_path / "a.npz")
    ask = ("analyse", "tsne", "--output", tmp_path / "out", "--features", tmp_path / "a.npz", "--thumbnails")
    result = command(*ask, "--run", tiny_run)
    assert result.code == 0, result.err
    assert (tmp_path / "out/tsne.html").read_text().count("data:image/jpeg") == len(ids)
    assert (tmp_path / "out/tsne.svg").read_text().count("<image ") == 3 * len(
        ids
    )  # the file's, two networks of the run


def test_persons_and_cameras_are_called_by_their_names(command, rng, tmp_path):
    features, ids = clusters(rng)
    names = Names({1: "anna", 2: "3", 3: "carl"}, {1: "hall"})
    FeatureSet(features, ids, ids % 2, [f"{row}.jpg" for row in range(len(ids))], names=names).save(tmp_path / "a.npz")
    ask = ("analyse", "tsne", "--output", tmp_path / "out", "--features", tmp_path / "a.npz", "--persons")
    assert command(*ask, "anna", "3").code == 0
    points = [line.split(",") for line in (tmp_path / "out/tsne.csv").read_text().splitlines()[1:]]
    assert {(point[3], point[4]) for point in points} == {("anna", "hall"), ("3", "0")}  # 3 is what 2 is called
    assert "--persons berta: nobody has this name" in command(*ask, "berta").error
    alone = command(*ask, "anna")  # one identity has no silhouette
    assert alone.code == 0
    assert "nan" not in (alone.out + (tmp_path / "out/tsne.svg").read_text()).lower()


def test_a_run_of_other_classes_is_refused(command, tiny_run, tmp_path):
    ask = ("analyse", "tsne", "--run", tiny_run, "--output", tmp_path / "out")
    assert "classes are not those of" in command(*ask, "SYNTHETIC.TRAIN_IDENTITIES", "4", "DATA.ROOT", tmp_path).error
    assert "is not a run folder" in command(*ask[:2], "--run", tmp_path, *ask[4:]).error
    assert not (tmp_path / "out").exists()

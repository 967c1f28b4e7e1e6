"""A query that is in the gallery itself, copies of it, and labels that allow no score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reid_dml.analysis.score_histogram import similarity_histogram
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.calibration import calibrate
from reid_dml.ranking.metrics import (
    average_precisions,
    evaluate_distances,
    evaluate_mean_distances,
    evaluate_rankings,
)
from reid_dml.ranking.own_images import own_images
from reid_dml.ranking.ranked_list import exact_lists
from reid_dml.ranking.scoring import ScoringOptions, score, score_files


@pytest.fixture
def noise():
    """Eight images of four persons without cameras, features of noise."""
    rng = np.random.default_rng(0)
    persons = np.arange(8) // 2 + 1
    paths = np.array([f"img/{number}.jpg" for number in range(8)])
    return FeatureSet(rng.normal(size=(8, 16)).astype(np.float32), persons, np.full(8, -1), paths)


@pytest.mark.parametrize("path", ["img/{}.jpg", "./img/{}.jpg"])
def test_a_query_is_not_ranked_against_itself(noise, path):
    query = replace(noise, paths=np.array([path.format(number) for number in range(8)]))
    similarity = noise.features @ noise.features.T
    norms = np.linalg.norm(noise.features, axis=1)
    similarity /= norms[:, None] * norms
    other = np.arange(8) ^ 1  # the only other image of the person
    ahead = [(np.delete(similarity[q], [q, other[q]]) >= similarity[q, other[q]]).sum() for q in range(8)]
    found = score({"query": query, "gallery": noise})["single_query"]
    assert found["mAP"] == pytest.approx(np.mean(1 / (1 + np.array(ahead))))


def test_lists_precisions_histograms_and_calibration_leave_it_out_too(noise):
    lists = exact_lists(noise, noise, 8)
    assert all(entry.query.path not in [image.path for image in entry.images] for entry in lists)
    assert [len(entry.images) for entry in lists] == [7] * 8
    scored = score({"query": noise, "gallery": noise})["single_query"]["mAP"]
    assert average_precisions(noise, noise).mean() == pytest.approx(scored)
    middles, shares = similarity_histogram(noise, noise)["same person"]
    assert sum(share for middle, share in zip(middles, shares, strict=True) if middle > 0.98) == 0
    both, alone = calibrate(noise, noise, false_accept_rate=0.2), calibrate(noise, false_accept_rate=0.2)
    assert (both.same_pairs, both.different_pairs) == (2 * alone.same_pairs, 2 * alone.different_pairs)
    assert both.true_accept_rate == alone.true_accept_rate
    sampled = calibrate(noise, noise, false_accept_rate=0.2, sample=5)
    assert sampled.same_pairs == 5  # of each drawn image its person's other one


def test_rows_without_names_are_one_image_only_where_their_cameras_do_not_say_otherwise(noise):
    rows = np.array([f"row {number}" for number in range(8)])
    query = replace(noise, paths=rows)
    assert len(own_images(query, query)[0]) == 8
    there = replace(query, camera_ids=np.full(8, 2))
    assert len(own_images(replace(query, camera_ids=np.full(8, 1)), there)[0]) == 0
    assert len(own_images(query, there)[0]) == 8
    scored = score({"query": replace(query, camera_ids=np.full(8, 1)), "gallery": there})["single_query"]
    assert scored["cmc"][0] == 1


def test_it_is_said_for_files_and_so_are_copies(noise, tmp_path):
    noise.save(tmp_path / "g.npz")
    with pytest.warns(UserWarning, match=r"8 of 8 queries are in .*g\.npz too, first img/0\.jpg"):
        score_files({"query": [tmp_path / "g.npz"], "gallery": [tmp_path / "g.npz"]})
    copies = replace(noise, paths=np.array([f"copy/{number}.jpg" for number in range(8)]))
    with pytest.warns(UserWarning, match=r"8 of 8 queries find a match .* copy/0\.jpg and img/0\.jpg: copies of one"):
        score({"query": copies, "gallery": noise})


@pytest.mark.parametrize(
    ("split", "ids", "words"),
    [
        ("query", np.full(8, -2), "query.npz: these are features without labels"),
        ("boxes", np.arange(8) + 50, "boxes.npz: multi-query: no image is of a person of .*query.npz"),
    ],
)
def test_labels_that_allow_no_score_are_refused(noise, tmp_path, split, ids, words):
    sets = {name: replace(noise, paths=np.array([f"{name}/{n}" for n in range(8)])) for name in ("query", "gallery")}
    sets["boxes"] = noise
    sets[split] = replace(sets[split], person_ids=ids)
    files = {name: [tmp_path / f"{name}.npz"] for name in sets}
    for name, features in sets.items():
        features.save(tmp_path / f"{name}.npz")
    with pytest.raises(UserError, match=words):
        score_files(files)


def test_queries_of_person_0_are_said(noise, tmp_path):
    zero = replace(noise, person_ids=noise.person_ids - 1, paths=np.array([f"q/{n}" for n in range(8)]))
    for name, features in (("q", zero), ("g", replace(zero, paths=noise.paths))):
        features.save(tmp_path / f"{name}.npz")
    with pytest.warns(UserWarning, match="2 queries are of person 0, a distractor"):
        score_files({"query": [tmp_path / "q.npz"], "gallery": [tmp_path / "g.npz"]})


@pytest.mark.parametrize("bad", [np.inf, 1e300, np.nan, 0.5, 2.0**64])
def test_ids_that_are_none_are_refused(noise, tmp_path, bad):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from reid_dml.features.formats import read_features

    persons = noise.person_ids.astype(np.float64)
    persons[3] = bad
    columns = {"person_id": persons, "camera_id": noise.camera_ids, "feature": noise.features.tolist()}
    pq.write_table(
        pa.table(columns).cast(
            pa.schema([("person_id", pa.float64()), ("camera_id", pa.int64()), ("feature", pa.list_(pa.float32()))])
        ),
        tmp_path / "f.parquet",
    )
    with pytest.raises(UserError, match=r"f\.parquet: person ids must be whole numbers .*row 3"):
        read_features(tmp_path / "f.parquet")


def test_an_id_beyond_int64_is_refused_in_npz(noise, tmp_path):
    persons = noise.person_ids.astype(np.uint64)
    persons[0] = 2**64 - 1
    np.savez(tmp_path / "f.npz", features=noise.features, person_ids=persons, camera_ids=noise.camera_ids)
    with pytest.raises(UserError, match="row 0 is 18446744073709551615"):
        FeatureSet.load(tmp_path / "f.npz")


def test_functions_of_python_leave_it_out_and_say_so(noise):
    scored = score({"query": noise, "gallery": noise})["single_query"]
    distances = 1 - cosine(noise)
    for found in (
        lambda: evaluate_rankings(noise, noise),
        lambda: evaluate_rankings(noise, noise, backend="faiss"),
        lambda: evaluate_distances(distances, noise, noise),
        lambda: evaluate_mean_distances([noise], [noise]),
    ):
        with pytest.warns(UserWarning, match=r"query: 8 of 8 queries are in gallery too, first img/0\.jpg") as said:
            assert found().mAP == pytest.approx(scored["mAP"])
        assert [warning.filename for warning in said] == [__file__]
    none = (np.empty(0, np.int64), np.empty(0, np.int64))
    assert evaluate_rankings(noise, noise, own=none).cmc[0] == 1


def cosine(features):
    unit = features.features / np.linalg.norm(features.features, axis=1, keepdims=True)
    return unit @ unit.T


def test_under_cosine_its_length_does_not_matter(noise):
    # One file may hold the features normalised and the other not.
    gallery = replace(noise, features=2 * noise.features)
    options = ScoringOptions(rerank=(3, 2, 1.0))
    found = score({"query": noise, "gallery": gallery}, options)
    assert found == score({"query": noise, "gallery": noise}, options)
    assert found["single_query"]["mAP"] == pytest.approx(found["reranked"]["mAP"])
    assert len(own_images(noise, gallery, metric="euclidean")[0]) == 0  # distances do depend on it

"""Ranking metrics against a brute-force definition that sorts, with real ties, junk and distractors."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.features.validation import DoubtfulFeatures
from reid_dml.ranking import counting, index_search
from reid_dml.ranking.counting import NegativeCounter
from reid_dml.ranking.device_counting import count_ahead_on
from reid_dml.ranking.metrics import evaluate_distances, evaluate_rankings
from reid_dml.ranking.relevance import Relevance
from reid_dml.ranking.roc import accepted_pairs
from reid_dml.ranking.scores import Scorer

SETS = count()


def feature_set(features, persons, cameras):
    """Features of images that are in no other set."""
    features, folder = np.asarray(features, np.float32), next(SETS)
    paths = [f"{folder}/{i}.jpg" for i in range(len(features))]
    return FeatureSet(features, np.asarray(persons), np.asarray(cameras), paths)


def brute_force(distances, query, gallery, max_rank=50):
    """Sort each query's valid gallery by distance, wrong items first within a tie, and walk down the list."""
    precisions, trapezoids, penalties, curves = [], [], [], []
    for q in range(len(query)):
        items = []
        for g in range(len(gallery)):
            person, camera = int(gallery.person_ids[g]), int(gallery.camera_ids[g])
            same = person == int(query.person_ids[q]) and person > 0
            if person == -1 or (
                person == query.person_ids[q] and camera == query.camera_ids[q] and query.camera_ids[q] != -1
            ):
                continue
            items.append((distances[q, g], same))
        items.sort()  # False sorts before True
        hits = [position for position, (_, same) in enumerate(items) if same]
        if not hits:
            continue
        plain, trapezoid = [], []
        for found, position in enumerate(hits):
            precision = (found + 1) / (position + 1)
            before = found / position if position else 1.0
            plain.append(precision)
            trapezoid.append((before + precision) / 2)
        precisions.append(np.mean(plain))
        trapezoids.append(np.mean(trapezoid))
        penalties.append(len(hits) / (hits[-1] + 1))
        curves.append([hits[0] < rank for rank in range(1, max_rank + 1)])
    return precisions, trapezoids, penalties, curves


def check(found, distances, query, gallery):
    precisions, trapezoids, penalties, curves = brute_force(distances, query, gallery)
    assert found.mAP == pytest.approx(np.mean(precisions), abs=1e-12)
    assert found.mAP_trapezoid == pytest.approx(np.mean(trapezoids), abs=1e-12)
    assert found.mINP == pytest.approx(np.mean(penalties), abs=1e-12)
    np.testing.assert_allclose(found.cmc, np.mean(curves, 0), atol=1e-12)
    assert (found.num_queries, found.num_unmatched) == (len(precisions), len(query) - len(precisions))


@st.composite
def retrieval_problems(draw):
    """Few persons and cameras and integer features: ties, junk, distractors and lost queries are common."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, items, width = draw(st.integers(1, 12)), draw(st.integers(1, 80)), draw(st.integers(1, 3))
    spread = draw(st.integers(1, 6))
    query = feature_set(
        rng.integers(-spread, spread + 1, (queries, width)), rng.integers(1, 6, queries), rng.integers(-1, 3, queries)
    )
    gallery = feature_set(
        rng.integers(-spread, spread + 1, (items, width)), rng.integers(-1, 6, items), rng.integers(-1, 3, items)
    )
    return query, gallery


def euclidean(query, gallery):
    return ((query.features[:, None].astype(int) - gallery.features[None].astype(int)) ** 2).sum(2)


@given(retrieval_problems(), st.randoms(use_true_random=False), st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_euclidean_rankings_match_brute_force_in_any_gallery_order_and_block_size(problem, random, rows):
    query, gallery = problem
    distances = euclidean(query, gallery)
    if not brute_force(distances, query, gallery)[0]:
        with pytest.raises(UserError, match="no query has a match"):
            evaluate_rankings(query, gallery, metric="euclidean")
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_MOST_ROWS", rows)
        found = evaluate_rankings(query, gallery, metric="euclidean")
    check(found, distances, query, gallery)
    check(evaluate_distances(distances, query, gallery), distances, query, gallery)
    order = np.array(random.sample(range(len(gallery)), len(gallery)))
    shuffled = evaluate_rankings(query, gallery.select(order), metric="euclidean")
    assert found.as_dict() == shuffled.as_dict()


@given(retrieval_problems(), st.sampled_from(["cosine", "euclidean"]), st.integers(1, 8))
@settings(max_examples=80, deadline=None)
def test_both_back_ends_and_the_device_path_agree(problem, metric, depth):
    query, gallery = problem
    if not brute_force(np.zeros((len(query), len(gallery))), query, gallery)[0]:
        return
    if metric == "cosine":  # unit vectors along the axes: products and norms are exact
        axes = [np.eye(4, dtype=np.float32)[s.features[:, 0].astype(int) % 4] for s in (query, gallery)]
        query, gallery = query.with_features(axes[0]), gallery.with_features(axes[1])
    found = evaluate_rankings(query, gallery, metric=metric)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_search, "_FIRST_DEPTH", depth)  # so that the search has to go deeper
        assert evaluate_rankings(query, gallery, metric=metric, backend="faiss").as_dict() == found.as_dict()
    scorer, relevance = Scorer(query, gallery, metric), Relevance(query, gallery)
    expected = counting.count_ahead(scorer.scores, relevance)
    found = count_ahead_on("cpu", scorer, relevance)
    np.testing.assert_array_equal(found.lengths, expected.lengths)
    np.testing.assert_array_equal(found.counts, expected.counts)


@given(retrieval_problems(), st.sampled_from([0.0, 1e-3, 0.05, 0.5]))
@settings(max_examples=80, deadline=None)
def test_rates_of_verification_match_brute_force(problem, rate):
    query, gallery = problem
    distances = euclidean(query, gallery)
    positives, negatives = [], []
    for q in range(len(query)):
        person, camera = query.person_ids[q], query.camera_ids[q]
        same = gallery.person_ids == person
        right = same & ((gallery.camera_ids != camera) | (camera == -1))
        if right.any():
            positives += distances[q, right].tolist()
            negatives += distances[q, ~same & (gallery.person_ids != -1)].tolist()
    if not positives:
        return
    # The best threshold that accepts no more than its share of negatives, tried one by one.
    thresholds = sorted({*positives, *negatives, -1})
    allowed = [t for t in thresholds if sum(n <= t for n in negatives) <= rate * len(negatives)]
    expected = max(sum(p <= t for p in positives) / len(positives) for t in allowed)
    for found in (
        evaluate_rankings(query, gallery, metric="euclidean", fpr=[rate, 0.9]),
        evaluate_distances(distances, query, gallery, fpr=[rate, 0.9]),
    ):
        assert found.tpr_at_fpr[f"{rate:g}"] == pytest.approx(expected, abs=1e-12)
        assert found.as_dict()["tpr_at_fpr"] == found.tpr_at_fpr


def test_highest_negatives_survive_many_blocks(rng):
    query = feature_set(rng.normal(size=(700, 4)), rng.integers(1, 9, 700), np.zeros(700, int))
    gallery = feature_set(rng.normal(size=(900, 4)), rng.integers(-1, 9, 900), np.ones(900, int))
    unit = [s.features / np.linalg.norm(s.features, axis=1, keepdims=True) for s in (query, gallery)]
    similarities = (unit[0] @ unit[1].T).astype(np.float64)
    right = query.person_ids[:, None] == gallery.person_ids[None]
    wrong = ~right & (gallery.person_ids != -1)[None]
    threshold = np.sort(similarities[wrong])[-1 - int(0.01 * wrong.sum())]
    found = evaluate_rankings(query, gallery, fpr=[1e-2])
    assert found.tpr_at_fpr["0.01"] == pytest.approx((similarities[right] > threshold).mean(), abs=2e-5)


@pytest.mark.parametrize("items", [1, 7, 2041, 5000])
@pytest.mark.parametrize("spread", [3, 40, 4000])  # from nearly all items ahead of the last match to nearly none
@pytest.mark.parametrize("count", [1, 5, 200])
def test_negatives_are_counted_one_query_or_several_at_a_time(rng, items, spread, count):
    matches = -np.sort(-rng.integers(0, spread, (6, count)).astype(np.float32), axis=1)
    wrong = rng.integers(0, 40, (6, items)).astype(np.float32)
    wrong[:, rng.random(items) < 0.1] = np.nan  # left out
    expected = (wrong[:, None] >= matches[:, :, None]).sum(2)
    counter = NegativeCounter()
    assert (counter.of_rows(matches, wrong) == expected).all()
    for row in range(6):
        assert (counter.of_row(matches[row], wrong[row]) == expected[row]).all()


def test_galleries_of_any_length_are_counted_alike(rng):
    """Long rows are counted one by one, short ones together."""
    query = feature_set(rng.normal(size=(40, 8)), rng.integers(1, 9, 40), np.zeros(40, int))
    gallery = feature_set(rng.normal(size=(30_000, 8)), rng.integers(-1, 200, 30_000), np.ones(30_000, int))
    exact, indexed = (evaluate_rankings(query, gallery, backend=name) for name in ("counting", "faiss"))
    assert exact.measures == pytest.approx(indexed.measures, abs=1e-5)
    assert exact.cmc == pytest.approx(indexed.cmc)


def test_an_approximate_index_costs_what_it_does_not_return(rng):
    gallery = feature_set(rng.normal(size=(400, 8)), np.arange(400) % 40 + 1, np.ones(400, int))
    query = feature_set(rng.normal(size=(40, 8)), np.arange(40) + 1, np.zeros(40, int))
    exact = evaluate_rankings(query, gallery)
    ranked = [
        evaluate_rankings(query, gallery, backend="faiss", index="IVF8,Flat", parameters=f"nprobe={cells}")
        for cells in (1, 8)
    ]
    assert ranked[0].mAP < exact.mAP
    assert ranked[1].mAP == pytest.approx(exact.mAP, abs=1e-6)
    with pytest.raises(UserError, match="FAISS cannot make it"):
        evaluate_rankings(query, gallery, backend="faiss", index="Flt")


def test_unmatched_queries_can_count_as_zero():
    query = feature_set([[1.0, 0], [0, 1]], [1, 9], [1, 1])
    gallery = feature_set([[1.0, 0], [0, 1]], [1, 2], [2, 2])
    found = evaluate_rankings(query, gallery, unmatched="zero", max_rank=2)
    assert (found.mAP, found.mINP, found.cmc.tolist()) == (0.5, 0.5, [0.5, 0.5])
    assert (found.num_queries, found.num_unmatched) == (1, 1)


@given(retrieval_problems())
@settings(max_examples=60, deadline=None)
def test_cosine_ties_of_whole_numbers_are_exact(problem):
    query, gallery = problem
    whole = query.features.astype(int) @ gallery.features.astype(int).T
    squares = (gallery.features.astype(int) ** 2).sum(1)
    # Cosine similarity orders a query's gallery like sign(q.g) (q.g)^2 / |g|^2, which fractions hold exactly.
    distances = np.array(
        [[-Fraction(int(abs(dot) * dot), int(max(square, 1))) for dot, square in zip(row, squares, strict=True)]
         for row in whole], dtype=object
    )  # fmt: skip
    if brute_force(np.zeros(whole.shape), query, gallery)[0]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of features that are all 0
            check(evaluate_rankings(query, gallery), distances, query, gallery)


def test_codes_of_many_bits_tie_exactly(rng):
    codes = [rng.choice([-1.0, 1.0], (count, 512)) for count in (20, 300)]
    query = feature_set(codes[0], rng.integers(1, 9, 20), np.zeros(20, int))
    gallery = feature_set(codes[1], rng.integers(1, 9, 300), np.ones(300, int))
    check(evaluate_rankings(query, gallery), -(codes[0] @ codes[1].T), query, gallery)


def test_a_junk_row_of_any_size_changes_nothing(rng):
    query = feature_set(rng.normal(size=(20, 8)), np.arange(20) % 5 + 1, np.zeros(20, int))
    persons = np.append(np.arange(60) % 5 + 1, -1)
    features = rng.normal(size=(61, 8)).astype(np.float32)
    for metric in ("cosine", "euclidean"):
        results = []
        for size in (1.0, 1e30):
            features[-1] = size
            results.append(evaluate_rankings(query, feature_set(features, persons, np.ones(61, int)), metric=metric))
        assert results[0].as_dict() == results[1].as_dict()
    with pytest.raises(UserError, match=r"gallery: 1 of 61 .* too different in size.*first rows 60 \(\d+/60\.jpg\);"):
        evaluate_rankings(query, feature_set(features, abs(persons), np.ones(61, int)), metric="euclidean")


def test_two_evaluations_at_once_leave_the_libraries_threads_alone(rng):
    before = [info["num_threads"] for info in threadpool_info()]
    query = feature_set(rng.normal(size=(300, 64)), rng.integers(1, 9, 300), np.zeros(300, int))
    gallery = feature_set(rng.normal(size=(3000, 64)), rng.integers(1, 9, 3000), np.ones(3000, int))
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda _: evaluate_rankings(query, gallery).mAP, range(9)))
    assert len(set(found)) == 1
    assert [info["num_threads"] for info in threadpool_info()] == before


def test_cosine_rankings_match_brute_force(rng):
    query = feature_set(rng.normal(size=(300, 16)), rng.integers(1, 40, 300), rng.integers(1, 5, 300))
    gallery = feature_set(rng.normal(size=(500, 16)), rng.integers(-1, 45, 500), rng.integers(1, 5, 500))
    unit = [s.features / np.linalg.norm(s.features, axis=1, keepdims=True) for s in (query, gallery)]
    check(evaluate_rankings(query, gallery), -(unit[0] @ unit[1].T), query, gallery)


def test_a_hand_computed_example():
    query = feature_set([[0.0]], [1], [1])
    # Distances 1 ... 6: wrong, right, junk, own camera, distractor, right -> valid ranks of matches 2 and 4.
    gallery = feature_set([[1], [2], [3], [4], [5], [6]], [2, 1, -1, 1, 0, 1], [1, 2, 1, 1, 1, 2])
    found = evaluate_rankings(query, gallery, metric="euclidean", max_rank=5)
    assert found.mAP == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert found.mAP_trapezoid == pytest.approx(((0 / 1 + 1 / 2) / 2 + (1 / 3 + 2 / 4) / 2) / 2)
    assert found.mINP == pytest.approx(2 / 4)
    assert found.cmc.tolist() == [0, 1, 1, 1, 1]


def test_identical_features_put_every_wrong_item_first():
    query = feature_set(np.ones((1, 4)), [1], [1])
    gallery = feature_set(np.ones((10, 4)), [1] + [2] * 9, [2] * 10)
    found = evaluate_rankings(query, gallery)
    assert found.mAP == pytest.approx(0.1)
    assert found.cmc[0] == 0


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("queries", [1, 129])
def test_equal_items_tie_exactly_wherever_they_stand(rng, metric, queries):
    # 1,003 copies of one feature whose products round: one of them is right, and must come last in every position.
    item, query = rng.normal(size=(1, 1024)), rng.normal(size=(queries, 1024))
    for position in (0, 1, 500, 960, 1001, 1002):
        persons = np.full(1003, 2)
        persons[position] = 1
        gallery = feature_set(np.repeat(item, 1003, 0), persons, np.full(1003, 2))
        found = evaluate_rankings(feature_set(query, [1] * queries, [1] * queries), gallery, metric=metric)
        assert found.mAP == pytest.approx(1 / 1003, abs=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e15, 1e30])
def test_the_scale_of_the_features_does_not_matter(rng, metric, scale):
    query, gallery = rng.normal(size=(20, 8)), rng.normal(size=(60, 8))
    results = [
        evaluate_rankings(
            feature_set(query * factor, np.arange(20) % 5 + 1, np.ones(20, int)),
            feature_set(gallery * factor, np.arange(60) % 5 + 1, np.full(60, 2)),
            metric=metric,
        ).mAP
        for factor in (1, scale)
    ]
    assert results[0] == pytest.approx(results[1], abs=1e-3)


@pytest.mark.filterwarnings("error")
def test_features_of_length_zero_are_reported():
    query, gallery = feature_set([[0.0, 0]], [1], [1]), feature_set([[1.0, 0], [0, 1]], [1, 2], [2, 2])
    with pytest.raises(DoubtfulFeatures, match=r"query: 1 of 1 features are all 0.*first rows 0 \(\d+/0\.jpg\)"):
        evaluate_rankings(query, gallery)


def test_a_query_without_a_match_is_counted_and_left_out():
    query = feature_set([[1.0, 0], [0, 1]], [1, 9], [1, 1])
    gallery = feature_set([[1.0, 0], [0, 1]], [1, 2], [2, 2])
    found = evaluate_rankings(query, gallery)
    assert (found.mAP, found.num_queries, found.num_unmatched) == (1.0, 1, 1)


def test_an_unknown_camera_hides_nothing():
    query = feature_set([[1.0, 0]], [1], [-1])
    gallery = feature_set([[1.0, 0], [0, 1]], [1, 2], [-1, -1])
    assert evaluate_rankings(query, gallery).mAP == 1.0


@pytest.mark.parametrize(
    ("query", "gallery", "error", "words"),
    [
        (
            ([[np.nan, 1]], [1], [1]),
            ([[1.0, 1]], [1], [2]),
            UserError,
            r"query: 1 of 1 features are NaN.*rows 0 \(\d+/0\.jpg\)",
        ),
        (([[1.0, 1]], [1], [1]), ([[np.inf, 1]], [1], [2]), UserError, "gallery: 1 of 1 features are NaN or infinite"),
        (
            ([[1.0, 1]], [1], [1]),
            ([[1.0, 1, 1]], [1], [2]),
            ValueError,
            "features are 3-d, those of query are 2-d",
        ),
        (([[1.0, 1]], [1], [1]), ([[1.0, 1]], [1], [1]), UserError, "no query has a match"),
    ],
)
def test_unusable_features_are_refused(query, gallery, error, words):
    with pytest.raises(error, match=words):
        evaluate_rankings(feature_set(*query), feature_set(*gallery))


def test_an_empty_side_is_refused():
    full = feature_set([[1.0, 2]], [1], [1])
    empty = full.select(np.array([], int))
    with pytest.raises(UserError, match="query: holds no features"):
        evaluate_rankings(empty, full)
    with pytest.raises(UserError, match="gallery: holds no features"):
        evaluate_rankings(full, empty)
    with pytest.raises(ValueError, match="distances are"):
        evaluate_distances(np.zeros((2, 2)), full, full)
    other = feature_set([[1.0, 2]], [1], [2])
    for wrong in ({"metric": "l1"}, {"backend": "sort"}, {"unmatched": "one"}, {"fpr": [1.0]}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            evaluate_rankings(full, other, **wrong)


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, np.int64, np.bool_])
def test_distances_of_any_type_and_order_in_memory_count_alike(rng, kind):
    persons = rng.integers(0, 4, 90)
    distances = rng.integers(0, 2 if kind is np.bool_ else 200, (30, 60)).astype(kind)
    features = np.zeros((90, 1), np.float32)
    images = FeatureSet(features, persons, np.repeat([1, 2], [30, 60]), [str(row) for row in range(90)])
    query, gallery = images.select(np.arange(30)), images.select(np.arange(30, 90))
    expected = evaluate_distances(distances.astype(np.float64), query, gallery).as_dict()
    assert evaluate_distances(distances, query, gallery).as_dict() == expected
    assert evaluate_distances(np.asfortranarray(distances), query, gallery).as_dict() == expected


def test_the_first_query_of_bad_distances_is_named_whatever_the_order_they_are_counted_in():
    gallery = FeatureSet(np.zeros((4, 1), np.float32), [1, 2, 2, 2], [2] * 4, list("abcd"))
    query = FeatureSet(np.zeros((3, 1), np.float32), [1, 1, 2], [1] * 3, list("xyz"))
    distances = np.zeros((3, 4))
    distances[1, 0] = distances[2, 3] = np.nan
    with pytest.raises(UserError, match=r"first in the row of query 1$"):
        evaluate_distances(distances, query, gallery)


@pytest.mark.parametrize("offset", [np.full(16, 1e4), np.eye(16)[3] * 1e5, -np.full(16, 3e3)])
def test_an_offset_that_all_features_share_costs_no_digits_of_distances(rng, offset):
    persons, cameras = np.repeat(np.arange(1, 31), 4), np.tile([0, 1, 2, 3], 30)
    features = (rng.normal(size=(31, 16))[persons] + 0.7 * rng.normal(size=(120, 16)) + offset).astype(np.float32)
    whole = feature_set(features, persons, cameras)
    query, gallery = whole.select(cameras == 0), whole.select(cameras > 0)
    exact = ((query.features[:, None].astype(float) - gallery.features[None].astype(float)) ** 2).sum(2)
    check(evaluate_rankings(query, gallery, metric="euclidean"), exact, query, gallery)
    assert evaluate_rankings(query, gallery, metric="euclidean").mAP < 0.99  # not so easy that digits do not matter


def test_true_positive_rates_of_near_false_positive_rates_stay_apart(rng):
    features = feature_set(rng.normal(size=(40, 4)), np.repeat(np.arange(1, 11), 4), np.tile([0, 1], 20))
    rates = [0.1234561, 0.1234564, 0.5]
    assert list(evaluate_rankings(features, features, fpr=rates, own=([], [])).tpr_at_fpr) == list(map(str, rates))


@pytest.mark.parametrize(("rate", "negatives", "accepted"), [(0.29, 100, 29), (1e-7, 9_999_999, 0), (0.0333333, 30, 0)])
def test_no_more_negatives_are_accepted_than_the_rate_allows(rate, negatives, accepted):
    assert accepted_pairs(rate, negatives) == accepted

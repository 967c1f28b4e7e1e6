"""Searches that come together are answered as each of them alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from reid_dml.features.feature_set import FeatureSet
from reid_dml.search import open_gallery
from reid_dml.search.filters import ImageFilter
from reid_dml.service.answers import Wanted
from reid_dml.service.searching import Search, search_together
from tests.service.conftest import gallery_features, open_service


@pytest.fixture
def queries(tmp_path):
    return gallery_features(tmp_path, range(20, 26))


def one_row(queries: FeatureSet, row: int) -> FeatureSet:
    return queries.select(np.array([row]))


def test_each_has_its_own_length_threshold_and_filter(gallery, queries):
    opened, other = open_gallery(gallery), open_gallery(gallery)
    hall = opened.passing(ImageFilter(cameras=["hall"]))
    # The service sends searches with a filter alone; here one is among the others.
    wanted = [(opened, 3, None, None), (opened, 3, None, None), (opened, 9, 0.9, None), (opened, 2, None, hall),
              (other, 3, None, None), (opened, 9, 0.9, None)]  # fmt: skip
    searches = [
        Search(place, one_row(queries, row), k, threshold, only)
        for row, (place, k, threshold, only) in enumerate(wanted)
    ]
    found, expected = search_together(searches), [search.alone() for search in searches]
    for one, alone in zip(found, expected, strict=True):
        assert (one.query, one.images, one.ids) == (alone.query, alone.images, alone.ids)
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-6)
    assert [len(one.images) for one in found[:2]] == [3, 3]
    assert 0 < len(found[5].images) < 9


def test_requests_of_a_moment_take_one_pass(gallery, queries, monkeypatch):
    service, passes, started, go = open_service(gallery), [], threading.Event(), threading.Event()
    opened = service.gallery.current()
    search = type(opened).search

    def watched(self, query, k=10, *, only=None):
        passes.append(len(query))
        started.set()
        assert go.wait(10)
        return search(self, query, k, only=only)

    monkeypatch.setattr(type(opened), "search", watched)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(service.search, queries.features[0], Wanted(4))
        assert started.wait(10)
        others = [pool.submit(service.search, feature, Wanted(3)) for feature in queries.features[1:]]
        until = time.monotonic() + 10
        while len(service.searcher) < 6 and time.monotonic() < until:
            time.sleep(0.01)
        go.set()
        lists = [future.result() for future in (first, *others)]
    assert passes == [1, 5]
    assert [len(found) for found in lists] == [4, 3, 3, 3, 3, 3]
    monkeypatch.undo()
    assert [found[0].id for found in lists] == [service.search(own, Wanted(1))[0].id for own in queries.features]
    service.close()

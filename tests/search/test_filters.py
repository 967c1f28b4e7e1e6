"""Searches among some images: as many results as there are, times from lists and names, indexes without times."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reid_dml.data.records import ImageRecord
from reid_dml.errors import UserError
from reid_dml.features import FeatureSet
from reid_dml.features.feature_set import normalize
from reid_dml.ranking.ranked_list import search_lists
from reid_dml.ranking.thresholds import Threshold
from reid_dml.search import Gallery
from reid_dml.search import build as index_build
from reid_dml.search.filters import ImageFilter, image_times, parse_moment
from reid_dml.search.sources import ImageFeatures


def images(rng, count):
    names = [f"x/cam_20260{1 + row % 3}{1 + row % 28:02d}_{row % 24:02d}0000_{row}.jpg" for row in range(count)]
    features = rng.normal(size=(count, 6)).astype(np.float32)
    return FeatureSet(features, rng.integers(1, 9, count), rng.integers(1, 6, count), names)


@pytest.mark.filterwarnings("ignore:.*are few to train.*")
@pytest.mark.parametrize("factory", ["Flat", "HNSW8"])
def test_there_are_as_many_results_as_brute_force_finds_among_the_cameras(rng, tmp_path, factory):
    here, query = images(rng, 400), images(rng, 7)
    gallery = Gallery.build(
        tmp_path / "i", here, factory=factory, parameters="efSearch=400" if "HNSW" in factory else ""
    )
    similarity = normalize(query.features) @ normalize(here.features).T
    for chosen in (
        ImageFilter(cameras=[2]),
        ImageFilter(not_cameras=[1, 2, 3, 4]),
        ImageFilter(since=parse_moment("2026-03-10"), until=parse_moment("2026-03-12", end=True), cameras=[1, 2],
                    time_pattern="%Y%m%d_%H%M%S"),
    ):  # fmt: skip
        only = chosen.ids(gallery.table, "i")
        assert 0 < len(only) < 120
        lists = search_lists(gallery, query, 30, only=only)
        for row, entry in enumerate(lists):
            best = only[np.argsort(-similarity[row, only])][:30]
            assert list(entry.ids) == best.tolist()


def test_times_come_from_the_list_first_and_then_from_names(rng, tmp_path):
    # Digits that are no day are passed over, be they of others that are one.
    names = ["a_20260101.jpg", "b_99999999_20260102.jpg", "c.jpg", "7_120260131.jpg"]
    times = ["2026-05-05T10:00:00", "", "", ""]
    records = [ImageRecord(str(tmp_path / name), 1, 1, time=time) for name, time in zip(names, times, strict=True)]
    for record in records:
        Path(record.path).touch()
    features = FeatureSet.of(np.eye(4, dtype=np.float32), records)
    index_build.build_index(tmp_path / "i", ImageFeatures(records, lambda *_: features, ""))
    gallery = Gallery.open(tmp_path / "i")
    assert image_times(gallery.table, "%Y%m%d") == [
        datetime(2026, 5, 5, 10),
        datetime(2026, 1, 2),
        None,
        datetime(2026, 1, 31),
    ]
    assert [image.time for image in gallery.images([0, 1])] == ["2026-05-05T10:00:00", ""]
    day = ImageFilter(since=parse_moment("2026-05-05"), until=parse_moment("2026-05-05", end=True))
    assert day.ids(gallery.table, "i").tolist() == [0]
    minute = replace(day, until=parse_moment("2026-05-05T10:00", end=True))
    assert minute.ids(gallery.table, "i").tolist() == [0]
    assert parse_moment("2026-05-05T12:00+02:00") == datetime(2026, 5, 5, 10)
    with pytest.raises(UserError, match="no image is of the time that is asked for; times go from 2026-05-05 10:00"):
        ImageFilter(since=parse_moment("2027-01-01")).ids(gallery.table, "i")


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("2026-01-31", "2026-02-01"),
        ("20260131", "2026-02-01"),
        ("2026-W05", "2026-02-02"),
        ("2026W05", "2026-02-02"),
        ("2026-W05-3", "2026-01-29"),
        ("2026-01-31T12", "2026-01-31T13:00"),
        ("2026-01-31T12+02:00", "2026-01-31T11:00"),
        ("2026-01-31 12:30", "2026-01-31T12:31"),
        ("20260131T1230", "2026-01-31T12:31"),
        ("2026-01-31T12:30Z", "2026-01-31T12:31"),
        ("2026-01-31T12:30+02:00", "2026-01-31T10:31"),
        ("2026-01-31T12:30-0530", "2026-01-31T18:01"),
        ("2026-01-31T12:30:05", "2026-01-31T12:30:06"),
        ("20260131T123005+0200", "2026-01-31T10:30:06"),
        ("2026-01-31T12:30:05.250", "2026-01-31T12:30:05.250001"),
    ],
)
def test_an_end_is_behind_what_is_written(text, behind):
    assert parse_moment(text, end=True) == datetime.fromisoformat(behind)


def test_an_index_without_times_is_read_and_added_to(rng, tmp_path):
    Gallery.build(tmp_path / "i", images(rng, 20))
    file = tmp_path / "i" / "generation_1" / "images.parquet"
    pq.write_table(pq.read_table(file).drop_columns(["time"]), file)  # as earlier versions wrote it
    manifest = tmp_path / "i" / "manifest.json"
    earlier = {
        key: value for key, value in json.loads(manifest.read_text()).items() if key not in ("sha256", "digests")
    }
    earlier["bytes"]["images.parquet"] = file.stat().st_size
    manifest.write_text(json.dumps(earlier))
    gallery = Gallery.open(tmp_path / "i")
    assert gallery.table["time"].null_count == 20
    more = replace(images(rng, 3), paths=["n1", "n2", "n3"])
    assert gallery.add(more) == 3
    assert len(gallery.table) == 23


def test_arguments_of_another_type_are_refused():
    for wrong, words in (
        ({"cameras": "01"}, "cameras: must be a list of cameras"),  # would be cameras 0 and 1
        ({"not_cameras": 5}, "not_cameras: must be a list of cameras"),
        ({"since": "2026-01-31"}, "since: must be a datetime, got str"),
        ({"until": date(2026, 1, 31)}, "until: must be a datetime, got date"),
        ({"time_pattern": 5}, "time_pattern: must be a text, got int"),
    ):
        with pytest.raises(ValueError, match=words):
            ImageFilter(**wrong)
    zoned = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=2)))
    assert ImageFilter(since=zoned).since == datetime(2026, 1, 31, 10)
    assert parse_moment("9999-12-31", end=True) == datetime.max


def test_what_makes_no_sense_is_refused(rng, tmp_path):
    gallery = Gallery.build(tmp_path / "i", images(rng, 20))
    since = parse_moment("2026-01-01")
    for chosen, words in (
        (ImageFilter(cameras=[77]), "i: no image is of the cameras that are asked for; it has cameras 1, 2"),
        (
            ImageFilter(since=since),
            "say how they stand in the file names with --time-pattern",
        ),
        (ImageFilter(since=since, time_pattern="%j"), "made of %Y %m %d %H %M %S"),
        (ImageFilter(since=since, time_pattern="year"), "made of %Y %m %d %H %M %S"),
    ):
        with pytest.raises(UserError, match=words):
            chosen.ids(gallery.table, "i")
    with pytest.raises(UserError, match="'yesterday' is not a time; write 2026-01-31"):
        parse_moment("yesterday")
    with pytest.raises(UserError, match=r"t\.json: a threshold for euclidean scores, those of .*i are cosine"):
        search_lists(gallery, images(rng, 1), 3, threshold=Threshold(0.5, "euclidean", source="t.json"))
    other, known = Threshold(0.5, "cosine", "b" * 32, None, "t.json"), replace(images(rng, 20), model="a" * 32)
    with pytest.raises(UserError, match=r"t\.json: a threshold for scores of model b+, those of .*m are of model a+"):
        search_lists(Gallery.build(tmp_path / "m", known), known, 3, threshold=other)

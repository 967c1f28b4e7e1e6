"""A gallery in PostgreSQL is served like one in a folder, and the service outlives the database."""

from __future__ import annotations

import glob
import re
import uuid

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("psycopg")

from starlette.testclient import TestClient

from reid_dml.data.records import ImageRecord
from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.probability import SamePerson
from reid_dml.ranking.thresholds import Threshold
from reid_dml.search.engines import engine_of
from reid_dml.search.sources import FeatureSets
from reid_dml.service.app import create_app
from reid_dml.service.image_store import ImageStore
from reid_dml.service.live_gallery import LiveGallery
from reid_dml.service.service import Labels, Service
from tests.search.database import server as server
from tests.service.conftest import IMAGES, MODEL, Networks, files, gallery_features, person


@pytest.fixture
def one(server, tmp_path):
    """A client of a service of the images 0 to 11 in a database."""
    place = f"{server.url}#g{uuid.uuid4().hex[:8]}"
    features = gallery_features(tmp_path, range(IMAGES))
    engine_of(place).build_gallery(place, FeatureSets([features]), factory="Flat", metric="cosine")
    service = Service(Networks(), LiveGallery.of_place(place, MODEL), store=ImageStore(tmp_path / "store"))
    with TestClient(create_app(service, hosts=())) as client:
        client.service = service
        yield client


def test_searching_adding_and_erasing(one, tmp_path):
    found = one.post("/v1/search", files=files(5), data={"k": 3, "camera": ["hall", "3"]}).json()["images"]
    assert (found[0]["person"], found[0]["score"]) == ("5", pytest.approx(1, abs=1e-5))
    (key,) = one.post("/v1/gallery", files=files(40), data={"camera": "yard"}).json()["added"]
    assert one.post("/v1/gallery", files=files(40)).json() == {"added": [], "known": [key]}
    assert 'value="yard"' in one.get("/").text
    assert one.post("/v1/search", data={"id": key, "k": 1}).json()["images"][0]["id"] == key
    assert one.request("DELETE", "/v1/gallery", params={"id": key}).json() == {"removed": 1, "files": 1}
    assert one.get(f"/v1/gallery/{key}").status_code == 404
    assert one.get("/v1/gallery").json()["count"] == IMAGES
    assert [entry.name for entry in (tmp_path / "store").iterdir()] == [".lock"]


def test_the_folder_of_the_images_may_move(server, tmp_path):
    place = f"{server.url}#g{uuid.uuid4().hex[:8]}"
    features = gallery_features(tmp_path, range(IMAGES))
    engine_of(place).build_gallery(place, FeatureSets([features]), factory="Flat", metric="cosine")
    known = []
    for folder in ("store", "moved"):
        store = ImageStore(tmp_path / folder)
        service = Service(Networks(), LiveGallery.of_place(place, MODEL), store=store)
        known.append(service.add([service.upload(person(40), "40.png")], Labels()))
        service.close()
        if folder == "store":
            (tmp_path / "store").rename(tmp_path / "moved")
    assert known == [(known[0][0], []), ([], known[0][0])]


@pytest.mark.parametrize("other", [{"model": "1" * 32}, {"metric": "euclidean"}])
def test_a_gallery_of_other_networks_or_metric_is_503_until_it_is_put_right(server, tmp_path, other):
    place = f"{server.url}#g{uuid.uuid4().hex[:8]}"

    def build(model=MODEL, metric="cosine"):
        source = FeatureSets([gallery_features(tmp_path, range(IMAGES), model)])
        engine_of(place).build_gallery(place, source, factory="Flat", metric=metric, overwrite=True)

    build()
    calibration = Threshold(0.6, "cosine", MODEL, SamePerson(20.0, -12.0), "t.json")
    service = Service(
        Networks(), LiveGallery.of_place(place, MODEL), store=ImageStore(tmp_path / "store"), calibration=calibration
    )
    with TestClient(create_app(service, hosts=())) as one:
        build(**other)
        for answer in (
            one.post("/v1/search", files=files(5)),
            one.post("/v1/gallery", files=files(41)),
            one.get("/readyz"),
            one.get("/"),
        ):
            assert answer.status_code == 503, answer.text
        build()
        assert one.post("/v1/search", files=files(5)).status_code == 200
    assert [entry.name for entry in (tmp_path / "store").iterdir()] == [".lock"]


def test_the_page_shows_the_cameras_that_there_are_now(one, tmp_path):
    gallery = one.service.gallery.current()
    assert 'value="hall"' in one.get("/").text
    path = gallery.images([0])[0].path
    gallery.remove([glob.escape(path)])
    records = [ImageRecord("yard.png", 99, 9, None, "", "", "yard")]
    gallery.add(FeatureSet.of(gallery_features(tmp_path, [50]).features, records, MODEL))
    assert len(gallery) == IMAGES
    assert 'value="yard"' in one.get("/").text


def test_the_page_looks_again_after_an_image_was_removed_meanwhile(one, monkeypatch):
    gallery = one.service.gallery.current()
    find = gallery.some

    def some(count):
        ids = find(count)
        if len(ids) == IMAGES:  # somebody removes one of them now
            gallery.remove([glob.escape(gallery.images(ids[:1])[0].path)])
        return ids

    monkeypatch.setattr(gallery, "some", some)
    answer = one.get("/")
    assert (answer.status_code, answer.text.count("/picture")) == (200, IMAGES - 1)


def test_a_killed_database_is_503_and_comes_back_by_itself(one, server, caplog):
    assert one.get("/readyz").status_code == 200
    server.kill()
    for answer in (
        one.post("/v1/search", files=files(5)),
        one.post("/v1/gallery", files=files(41)),
        one.get("/readyz"),
    ):
        assert answer.status_code == 503, answer.text
        assert "\n" not in answer.json()["error"]
        assert not {"127.0.0.1", "localhost", "socket", "postgresql:"} & set(re.split(r"[\s\"',/]", answer.text)), (
            answer.text
        )
    assert "does not answer" in caplog.text
    server.start()
    assert one.post("/v1/search", files=files(5), data={"k": 1}).json()["images"][0]["person"] == "5"
    assert len(one.post("/v1/gallery", files=files(41)).json()["added"]) == 1
    assert one.get("/readyz").status_code == 200

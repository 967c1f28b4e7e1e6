"""The REST interface: what it finds, adds and erases, and what it refuses."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from reid_dml.data.images import decode_image, resize_image
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.feature_set import normalize
from reid_dml.ranking.probability import SamePerson
from reid_dml.ranking.thresholds import Threshold
from reid_dml.service.limits import Limits, Refusal
from reid_dml.service.together import Together
from tests.service.conftest import IMAGES, MODEL, Networks, build_gallery, files, open_service, person

CALIBRATION = Threshold(0.99, "cosine", MODEL, SamePerson(100.0, -95.0), "t.json")


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [image["id"].split("-")[0] for image in answer.json()["images"]]


def error(answer, status):
    assert answer.status_code == status, answer.text
    (message,) = answer.json().values()
    assert "\n" not in message
    return message


def test_embedding_repeats_the_networks_of_a_run(tiny_run, tmp_path):
    extractor = FeatureExtractor.from_run(tiny_run, device="cpu")
    (tmp_path / "a.png").write_bytes(person(3))
    (tmp_path / "b.jpg").write_bytes(person(4, ".jpg", (200, 90)))
    service = open_service(build_gallery(tmp_path, range(3), model=extractor.model), extractor)
    uploads = [service.upload((tmp_path / name).read_bytes(), name) for name in ("a.png", "b.jpg")]
    expected = extractor([tmp_path / "a.png", tmp_path / "b.jpg"])
    np.testing.assert_allclose(service.embed(uploads), expected, atol=1e-6)
    service.close()


def test_a_search_finds_what_the_gallery_finds(client):
    found = client(calibration=CALIBRATION, prior=0.2).post("/v1/search", files=files(5), data={"k": 4})
    images = found.json()["images"]
    features = Networks()([decode_image(person(number), "") for number in range(IMAGES)])
    expected = np.argsort(-features @ features[5])[:4]
    assert ids(found) == [str(number) for number in expected]
    assert images[0]["score"] == pytest.approx(1)
    assert images[0]["name"] == "0005<b>.png"
    assert [images[0][name] for name in ("person", "camera", "time")] == ["5", "3", "2026-01-31T12:05:00"]
    assert images[0]["probability"] == pytest.approx(1 / (1 + 4 * np.exp(-5)))
    assert [image["same_person"] for image in images] == [image["score"] >= 0.99 for image in images]


def test_several_images_of_one_person_are_searched_for_by_their_mean(client):
    one = client()
    answer = one.post("/v1/search", files=files(1, 2), data={"k": 12}).json()["images"]
    features = Networks()([decode_image(person(number), "") for number in range(IMAGES)])
    mean = features[[1, 2]].mean(0)
    scores = {image["id"].split("-")[0]: image["score"] for image in answer}
    for number in range(IMAGES):
        assert scores[str(number)] == pytest.approx(features[number] @ mean / np.linalg.norm(mean), abs=1e-5)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"camera": "hall"}, {"1", "4", "7", "10"}),
        ({"camera": ["1", "3"], "not_camera": "3"}, {"0", "3", "6", "9"}),
        ({"since": "2026-01-31T12:04", "until": "2026-01-31T12:06"}, {"4", "5", "6"}),
        ({"threshold": 0.9999}, {"5"}),
    ],
)
def test_filters(client, data, expected):
    assert set(ids(client().post("/v1/search", files=files(5), data={"k": 12, **data}))) == expected


def test_a_filter_that_nothing_passes_says_why(client):
    assert "it has cameras 1, hall, 3" in error(client().post("/v1/search", files=files(5), data={"camera": "99"}), 422)


def test_searching_from_an_image_of_the_gallery(client):
    one = client()
    key = one.post("/v1/search", files=files(7), data={"k": 1}).json()["images"][0]["id"]
    assert ids(one.post("/v1/search", data={"id": key, "k": 1})) == ["7"]
    assert one.get(f"/v1/gallery/{key}").json()["person"] == "7"
    picture = one.get(f"/v1/gallery/{key}/picture", params={"side": 32})
    assert picture.headers["content-type"] == "image/jpeg"
    assert decode_image(picture.content, "").shape == (32, 16, 3)


def test_two_images_are_judged(client):
    one = client(calibration=CALIBRATION)
    same = one.post("/v1/verify", files=files(1, field="first") + files(1, field="second")).json()
    other = one.post("/v1/verify", files=files(1, field="first") + files(2, field="second")).json()
    assert (same["same_person"], other["same_person"]) == (True, False)
    assert same["score"] == pytest.approx(1)
    assert same["threshold"] == 0.99


def test_images_are_added_once_and_found(client, gallery):
    one = client()
    labels = {"camera": "yard", "person": "anna", "time": "2026-02-01T08:00"}
    added = one.post("/v1/gallery", files=files(40, 41, 40), data=labels)
    assert [len(added.json()[name]) for name in ("added", "known")] == [2, 0]
    assert one.get("/v1/gallery").json()["count"] == IMAGES + 2
    again = one.post("/v1/gallery", files=files(41, 42))
    assert [len(again.json()[name]) for name in ("added", "known")] == [1, 1]
    assert again.json()["known"] == added.json()["added"][1:]
    found = one.post("/v1/search", files=files(40), data={"k": 1, "camera": "yard"}).json()["images"][0]
    expected = {"name": "40.png", "camera": "yard", "person": "anna", "time": "2026-02-01T08:00:00"}
    assert expected.items() <= found.items()
    assert found["score"] == pytest.approx(1)


def test_an_image_keeps_what_was_said_of_it_first(client):
    one = client()
    labels = {"camera": "yard", "person": "anna"}
    key = one.post("/v1/gallery", files=files(40), data=labels).json()["added"][0]
    for again in ({}, labels, {"camera": "yard"}, {"person": " anna "}):
        assert one.post("/v1/gallery", files=files(40), data=again).json() == {"added": [], "known": [key]}
    for other, words in (
        ({"camera": "hall"}, "camera yard, not hall"),
        ({"camera": "yard", "person": "7"}, "person anna, not 7"),
        ({"time": "2026-02-01"}, "time unknown, not 2026-02-01"),
    ):
        refused = one.post("/v1/gallery", files=files(41, 40), data=other)
        assert refused.status_code == 409
        assert words in refused.json()["error"]
    assert one.get("/v1/gallery").json()["count"] == IMAGES + 1


def test_a_form_without_a_file_is_told_so(client):
    one, nothing = client(), {"images": ("", b"", "application/octet-stream")}
    for address in ("/v1/gallery", "/v1/search", "/v1/embed", "/add", "/search", "/compare"):
        refused = one.post(address, files=nothing)
        assert refused.status_code == 422
        assert "images: no file was sent; choose an image" in refused.text
    assert one.post("/v1/embed").json() == {"error": "images: is missing"}


def test_an_erased_image_is_nowhere(client, gallery):
    one = client()
    key = one.post("/v1/gallery", files=files(40)).json()["added"][0]
    kept = list(gallery.with_name("g.index.images").glob("*.png"))
    vector = normalize(Networks()([resize_image(decode_image(person(40), ""), (32, 16))]))[0].tobytes()

    def holders():
        return [path for path in gallery.rglob("*") if path.is_file() and vector[:16] in path.read_bytes()]

    assert len(kept) == len(holders()) == 1
    assert one.request("DELETE", "/v1/gallery", params={"id": key}).json() == {"removed": 1, "files": 1}
    assert not kept[0].exists()
    assert not holders()
    for path in (f"/v1/gallery/{key}", f"/v1/gallery/{key}/picture"):
        assert "no such image" in error(one.get(path), 404)
    assert "no such image" in error(one.post("/v1/search", data={"id": key}), 404)
    assert one.get("/v1/gallery").json()["count"] == IMAGES


def test_erasing_takes_all_or_none_and_leaves_files_that_are_not_ours(client, gallery):
    one = client()
    found = one.post("/v1/search", files=files(3, 4), data={"k": 2}).json()["images"]
    keys = [image["id"] for image in found]
    assert "no such image" in error(one.request("DELETE", "/v1/gallery", params={"id": [keys[0], "99-00000000"]}), 404)
    assert one.get("/v1/gallery").json()["count"] == IMAGES
    assert one.request("DELETE", "/v1/gallery", params={"id": keys}).json() == {"removed": 2, "files": 0}
    assert len(list((gallery.parent / "files").iterdir())) == IMAGES


@pytest.mark.parametrize(
    "key", ["../../etc/passwd", "1", "1-zz", "1-00000000", "-1-00000000", "9" * 30 + "-00000000", "%00"]
)
def test_no_path_is_read_from_a_request(client, key):
    assert client().get(f"/v1/gallery/{key}").status_code in (404, 405)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"k": 0}, "0 results"),
        ({"k": 1001}, "ask for 1 to 1,000"),
        ({"k": "x"}, "k: "),
        ({"since": "yesterday"}, "is not a time"),
        ({"camera": "1" * 5000}, "camera"),
        ({"threshold": "nan"}, "not a finite number"),
    ],
)
def test_refused_searches(client, data, words):
    assert words in error(client().post("/v1/search", files=files(1), data=data), 422)


def test_a_misspelt_filter_is_not_passed_over(client):
    one = client()
    words = "cameras: no such field; there are camera, id, images, k, "
    assert words in error(one.post("/v1/search", files=files(1), data={"cameras": "1"}), 422)
    assert "page: no such field" in error(one.get("/v1/gallery?page=2"), 422)
    assert one.get("/healthz?from=monitor").status_code == 200


def test_a_time_that_is_none_in_utc_is_not_kept(client):
    one = client()
    for time in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00", "noon"):
        assert "is not a time" in error(one.post("/v1/gallery", files=files(40), data={"time": time}), 422)
    assert one.get("/v1/gallery").json()["count"] == IMAGES


def test_long_numbers_are_words(client):
    one = client()
    data = {"person": "1" * 5000, "camera": "2" * 5000}
    (key,) = one.post("/v1/gallery", files=files(40), data=data).json()["added"]
    assert one.get(f"/v1/gallery/{key}").json()["person"] == "1" * 5000


def test_nothing_is_added_to_a_gallery_that_is_read_only(client, gallery):
    one = client(store=False)
    assert "read only" in error(one.post("/v1/gallery", files=files(40)), 403)
    assert "read only" in error(one.request("DELETE", "/v1/gallery", params={"id": "0-00000000"}), 403)
    assert not gallery.with_name("g.index.images").exists()
    assert "Add to" not in one.get("/").text


def test_requests_are_batched_and_one_bad_image_fails_its_own_request_only():
    started, go, sizes = threading.Event(), threading.Event(), []

    def extract(images):
        sizes.append(len(images))
        started.set()
        assert go.wait(10)
        if any(image.max() > 100 for image in images):
            raise Refusal(422, "not finite")
        return np.stack([image.ravel()[:2].astype(np.float32) for image in images])

    embedder = Together(extract, "networks", batch=8, waiting=8)
    images = [np.full((2, 2, 3), value, np.uint8) for value in (1, 2, 3, 200, 5)]
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(embedder, images[:1])
        assert started.wait(10)
        others = [pool.submit(embedder, [image]) for image in images[1:]]
        while len(embedder) < 5:
            pass
        with pytest.raises(Refusal, match="wait for the networks") as refused:
            embedder(images[:4])
        assert refused.value.status == 429
        go.set()
        values = [future.result()[0][0] for future in (first, *others[:2], others[3])]
        assert values == [1, 2, 3, 5]
        with pytest.raises(Refusal, match="not finite"):
            others[2].result()
    assert sizes == [1, 4, 1, 1, 1, 1]
    embedder.close()


def test_a_full_queue_is_429_and_the_service_goes_on(client):
    started, go = threading.Event(), threading.Event()

    class Slow(Networks):
        def __call__(self, images):
            started.set()
            assert go.wait(10)
            return super().__call__(images)

    one = client(Slow(), limits=Limits(images=2, waiting=2))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.post, "/v1/embed", files=files(1, 2))
        assert started.wait(10)
        refused = one.post("/v1/embed", files=files(3))
        assert "try again" in error(refused, 429)
        assert refused.headers["retry-after"] == "1"
        assert one.get("/healthz").status_code == 200
        go.set()
        assert first.result().status_code == 200
    assert one.post("/v1/embed", files=files(3)).status_code == 200


def test_counts(client):
    one = client()
    one.post("/v1/embed", files=files(1, 2))
    one.get("/v1/gallery/1-00000000")
    text = one.get("/metrics").text
    assert 'reid_dml_requests_total{method="POST",path="/v1/embed",status="200"} 1.0' in text
    assert 'path="/v1/gallery/{id}",status="404"} 1.0' in text  # not a count for every image
    assert "reid_dml_images_total 2.0" in text
    assert f"reid_dml_gallery_images {float(IMAGES)}" in text


def test_the_contract(client):
    contract = client().get("/openapi.json").json()
    found = {(method, path) for path, entry in contract["paths"].items() for method in entry}
    assert found == {
        *(("post", f"/v1/{name}") for name in ("embed", "search", "verify", "gallery")),
        *(("get", path) for path in ("/v1/gallery", "/v1/gallery/{id}", "/v1/gallery/{id}/picture")),
        ("delete", "/v1/gallery"),
        *(("get", path) for path in ("/healthz", "/readyz", "/metrics")),
    }
    assert "src" not in json.dumps(contract["info"])


@pytest.mark.filterwarnings("ignore")
def test_whatever_the_contract_allows_is_no_500(client):
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st

    torch.set_flush_denormal(False)  # Hypothesis draws such numbers
    one = client()
    schema = schemathesis.openapi.from_dict(one.get("/openapi.json").json())
    strategies = [operation.ok().as_strategy() for operation in schema.get_all_operations()]

    @given(st.one_of(strategies))
    @settings(
        max_examples=30,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case):
        sent = case.as_transport_kwargs(base_url="http://testserver")
        sent.pop("cookies", None)
        assert one.request(**sent).status_code < 500

    ask()

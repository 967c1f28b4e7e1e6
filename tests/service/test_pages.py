"""The page without a browser: it works without JavaScript, and shows names as text."""

from __future__ import annotations

import csv
import io
import re
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from reid_dml.service.answers import Answer
from reid_dml.service.export import as_csv
from tests.service.conftest import IMAGES, build_gallery, files, person


def cards(text):
    return re.findall(r'class="card[^"]*" data-id="(\d+)-', text)


def begin(one, *numbers):
    answer = one.post("/search", files=files(*numbers))
    assert answer.status_code == 303, answer.text
    return answer.headers["location"]


def test_a_search_has_an_address_with_its_images(client):
    one = client()
    address = begin(one, 5, 6)
    page = one.get(address).text
    assert set(cards(page)) == set(map(str, range(IMAGES)))
    assert "Nearest to these 2 images" in page
    (name,) = parse_qs(urlsplit(address).query)["search"]
    assert one.get(f"/query/{name}/1").content[:2] == b"\xff\xd8"
    assert one.get(f"/query/{name}/2").status_code == 404
    assert one.get(f"{address}&camera=hall").text.count('class="card"') == 4
    assert "it has cameras" in one.get(f"{address}&camera=99").text
    assert "No image is within" in one.get(f"{address}&threshold=1").text
    assert "cosine scores lie between -1 and 1" in one.get(f"{address}&threshold=1.5").text
    assert one.get(f"{address}&threshold=x").status_code == 422


def test_names_are_text(client):
    one = client()
    one.post("/v1/gallery", files=files(40), data={"camera": "<i>yard</i>", "person": '"><script>'})
    page = one.get(begin(one, 40)).text
    assert "0005&lt;b&gt;.png" in page
    assert "camera &lt;i&gt;yard&lt;/i&gt;" in page
    assert "person &#34;&gt;&lt;script&gt;" in page
    assert "<b>.png" not in page
    refused = one.post("/search", files={"images": ("<i>x.png", b"no image", "image/png")})
    assert (refused.status_code, "&lt;i&gt;x.png: is not" in refused.text) == (422, True)


def test_no_page_shows_a_path_of_the_server(client, gallery):
    one = client()
    one.post("/v1/gallery", files=files(40))
    address = begin(one, 5)
    for path in ("/", address, f"{address}&camera=99", address.replace("/?", "/export.csv?"), "/openapi.json"):
        assert str(gallery.parent) not in one.get(path).text, path
    (gallery / "manifest.json").write_text("{}")
    answer = one.get("/readyz")
    assert answer.status_code == 503
    assert str(gallery.parent) not in answer.text


def test_pages_of_a_long_list(tmp_path, client, gallery):
    build_gallery(gallery.parent, range(130), overwrite=True)
    one = client()
    page = one.get(begin(one, 5)).text
    found = cards(page)
    while more := re.search(r'hx-get="(/results\?[^"]*)"\s*hx-target="closest .more"', page):
        part = one.get(more[1].replace("&amp;", "&"), headers={"HX-Request": "true"})
        page = part.text
        assert "<html" not in page
        found += cards(page)
    assert len(found) == len(set(found)) == 130


def test_lists_are_exported(client):
    one = client()
    address = begin(one, 5)
    rows = list(csv.DictReader(io.StringIO(one.get(address.replace("/?", "/export.csv?")).text)))
    found = one.get(address.replace("/?", "/export.json?")).json()
    assert [row["id"] for row in rows] == [image["id"] for image in found["images"]]
    assert len(rows) == IMAGES
    assert (rows[0]["person"], rows[0]["camera"], float(rows[0]["score"])) == ("5", "3", pytest.approx(1))
    assert len(one.get(address.replace("/?", "/export.json?") + "&camera=hall").json()["images"]) == 4


def test_a_cell_is_no_formula():
    bad = Answer("1-a", "=cmd()", "+1", "-2", "@x", 1, 0.5, None, None)
    row = next(csv.DictReader(io.StringIO(as_csv([bad]))))
    assert [row[name] for name in ("name", "person", "camera", "time")] == ["'=cmd()", "'+1", "'-2", "'@x"]


def test_adding_comparing_searching_from_and_erasing(client):
    one = client()
    added = one.post("/add", files=files(40), data={"camera": "yard"})
    assert "1 image added" in added.text
    page = one.get(begin(one, 40)).text
    (first, second, *_) = re.findall(r'data-id="([^"]*)"', page)
    assert "camera yard" in page
    compared = one.get("/compare", params={"id": [first, second]})
    assert compared.text.count("<figure>") == 2
    assert one.post("/compare", files=files(1, 2)).text.count("<figure>") == 2
    assert one.post("/compare", files=files(1)).status_code == 422
    address = one.post(f"/search/{first}").headers["location"]
    assert "Nearest to 40.png" in one.get(address).text
    assert one.post("/remove", data={"id": first}).status_code == 303
    assert "This search is over" in one.get(address).text  # it was an image that is erased
    assert one.post(f"/search/{first}").status_code == 404
    assert one.get("/").text.count('class="card"') == IMAGES


def test_a_part_for_htmx_is_no_whole_page(client):
    one = client()
    answer = one.post("/search", files=files(5), headers={"HX-Request": "true"})
    assert answer.status_code == 200
    assert answer.headers["hx-push-url"].startswith("/?search=")
    assert "<html" not in answer.text
    refused = one.post("/search", files={"images": ("x.png", b"", "image/png")}, headers={"HX-Request": "true"})
    assert (refused.status_code, refused.text) == (422, "x.png: is empty (0 bytes)")


def test_an_empty_gallery_has_a_page(client, gallery):
    one = client()
    page = one.get(begin(one, 5)).text
    keys = re.findall(r'data-id="([^"]*)"', page)
    assert one.request("DELETE", "/v1/gallery", params={"id": keys}).json()["removed"] == IMAGES
    assert "holds no images" in one.get("/").text
    assert one.post("/v1/search", files=files(5)).json()["images"] == []
    one.post("/v1/gallery", files={"images": ("a.png", person(7), "image/png")})
    assert one.post("/v1/search", files=files(7)).json()["images"][0]["score"] == pytest.approx(1)

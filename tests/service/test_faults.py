"""Killed, full, replaced: what was acknowledged is there, and nothing is half or mixed."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from reid_dml.commands.serve import open_door
from reid_dml.errors import UserError
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.ranking.probability import SamePerson
from reid_dml.ranking.thresholds import Threshold
from reid_dml.search.gallery import Gallery
from reid_dml.search.index_folder import IndexFolder
from reid_dml.service.answers import Wanted
from reid_dml.service.image_store import ImageStore
from reid_dml.service.limits import Refusal
from reid_dml.service.service import Labels
from tests.faults.children import at_change, run_child
from tests.service.conftest import IMAGES, MODEL, build_gallery, files, open_service, person

WANTED = Wanted(1)


def state(gallery: Path) -> tuple[list[str], list[str]]:
    """Names of the added images that the index has, and those whose files are there."""
    table = Gallery.open(gallery).table
    paths = [path for path in table["path"].to_pylist() if ".index.images" in path]
    found = Gallery.open(gallery)
    assert found._opened.contents.index.ntotal == len(table) == len(set(table["id"].to_pylist()))
    kept = [entry.name for entry in gallery.with_name("g.index.images").iterdir() if entry.name != ".lock"]
    return sorted(os.path.basename(path) for path in paths), sorted(kept)


def acknowledged_adds(gallery: Path, said: Path, kill_at: int) -> None:
    """In a child: add image after image, writing down each that was acknowledged; killed at a change of a file."""
    at_change(gallery.parent, kill_at, lambda path: os.kill(os.getpid(), signal.SIGKILL))
    service = open_service(gallery)
    with said.open("a", buffering=1) as file:
        for number in range(50, 54):
            service.add([service.upload(person(number), f"{number}.png")], Labels())
            file.write(f"{number}\n")
            os.fsync(file.fileno())


def test_every_acknowledged_image_survives_kill_9(gallery, tmp_path_factory):
    said = tmp_path_factory.mktemp("said") / "numbers"
    killed = 0
    for kill_at in range(3, 75, 6):
        said.unlink(missing_ok=True)
        ended = run_child(lambda at=kill_at: acknowledged_adds(gallery, said, at), said.with_suffix(".log"))
        assert ended.code in (-signal.SIGKILL, 0), ended.text
        killed += ended.code != 0
        done = [int(line) for line in said.read_text().split()] if said.exists() else []
        service = open_service(gallery)
        named, kept = state(gallery)
        assert named == kept  # no image without its file, no file without its image, none that is half written
        for number in done:
            assert f"-{number}.png" in " ".join(named)
            answer = service.search(service.feature_of([service.upload(person(number), "q.png")]), WANTED)[0]
            assert answer.score == pytest.approx(1)
        again = [service.upload(person(number), f"{number}.png") for number in range(50, 54)]
        new, known = service.add(again, Labels())
        assert len(new) + len(known) == 4
        assert len(known) >= len(done)
        assert len(service.gallery.current()) == IMAGES + 4  # none twice
        service.remove([*new, *known])
        assert state(gallery) == ([], [])
        service.close()
    assert killed >= 8


@pytest.mark.parametrize("kill_at", [2, 4, 6, 8, 10])
def test_an_erasure_is_whole_or_not_at_all_after_kill_9(gallery, tmp_path_factory, kill_at):
    service = open_service(gallery)
    (key,), _ = service.add([service.upload(person(50), "50.png")], Labels())
    service.close()

    def erase():
        service = open_service(gallery)
        at_change(gallery.parent, kill_at, lambda path: os.kill(os.getpid(), signal.SIGKILL))
        service.remove([key])

    run_child(erase, tmp_path_factory.mktemp("said") / "log")
    open_service(gallery).close()
    named, kept = state(gallery)
    assert named == kept


def test_a_gallery_and_its_images_may_move(gallery, tmp_path):
    service = open_service(gallery)
    (key, _), _ = service.add([service.upload(person(number), f"{number}.png") for number in (50, 51)], Labels())
    service.close()
    (tmp_path / "new").mkdir()
    for name in ("g.index", "g.index.images"):
        (tmp_path / name).rename(tmp_path / "new" / name)
    moved = tmp_path / "new" / "g.index"
    service = open_service(moved)
    assert service.add([service.upload(person(50), "again.png")], Labels()) == ([], [key])
    with IndexFolder(moved).lock(), pytest.raises(Refusal, match="another process"):
        service.remove([key])
    assert service.pixels(key).shape == (64, 32, 3)  # what could not be removed has its file
    service.store.withdraw(service.record(key).path)  # killed while it was removed
    service.close()
    service = open_service(moved)
    assert service.pixels(key).shape == (64, 32, 3)
    assert service.remove([key]) == (1, 1)
    named, kept = state(moved)
    assert named == kept
    assert len(kept) == 1


@pytest.mark.parametrize("size", [10, 2000])
def test_a_full_disk_changes_nothing(client, gallery, size):
    """A file may have so many bytes: too few for the image, or enough for it and too few for the index."""
    one = client()
    before = state(gallery)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        answer = one.post("/v1/gallery", files=files(40))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert answer.status_code == 507, answer.text
    assert str(gallery.parent) not in answer.text
    assert state(gallery) == before
    assert one.get("/v1/gallery").json()["count"] == IMAGES
    assert len(one.post("/v1/gallery", files=files(40)).json()["added"]) == 1


def test_another_process_that_changes_the_gallery_is_seen(client, gallery):
    one = client()
    (key, *_) = [image["id"] for image in one.post("/v1/search", files=files(5)).json()["images"]]
    other = Gallery.open(gallery)
    other.remove([other.images([5])[0].path])
    assert one.get("/v1/gallery").json()["count"] == IMAGES - 1
    assert one.get(f"/v1/gallery/{key}").status_code == 404


def test_an_id_of_a_replaced_gallery_is_no_other_image(client, gallery):
    one = client()
    key = one.post("/v1/search", files=files(5), data={"k": 1}).json()["images"][0]["id"]
    build_gallery(gallery.parent, range(100, 120), overwrite=True)
    assert key.startswith("5-")
    for path in (f"/v1/gallery/{key}", f"/v1/gallery/{key}/picture"):
        assert one.get(path).status_code == 404
    assert one.request("DELETE", "/v1/gallery", params={"id": key}).status_code == 404
    assert one.post("/v1/search", files=files(105), data={"k": 1}).json()["images"][0]["person"] == "105"


def test_a_gallery_of_other_networks_is_refused_until_it_is_put_right(client, gallery):
    one = client()
    build_gallery(gallery.parent, range(IMAGES), model="1" * 32, overwrite=True)
    for answer in (
        one.post("/v1/search", files=files(5)),
        one.post("/v1/gallery", files=files(40)),
    ):
        assert answer.status_code == 503
        assert "cannot be compared" in answer.json()["error"]
    assert one.get("/readyz").status_code == 503
    build_gallery(gallery.parent, range(IMAGES), overwrite=True)
    assert one.post("/v1/search", files=files(5)).status_code == 200


def test_a_gallery_of_another_metric_is_not_judged_by_the_threshold(client, gallery):
    one = client(calibration=Threshold(0.6, "cosine", MODEL, SamePerson(20.0, -12.0), "t.json"))
    assert one.post("/v1/search", files=files(5), data={"k": 1}).json()["images"][0]["probability"] > 0.99
    build_gallery(gallery.parent, range(IMAGES), overwrite=True, metric="euclidean")
    answer = one.post("/v1/search", files=files(5))
    assert (answer.status_code, "calibrate with --metric euclidean" in answer.json()["error"]) == (503, True)
    build_gallery(gallery.parent, range(IMAGES), overwrite=True)
    assert one.post("/v1/search", files=files(5)).status_code == 200


def test_searches_while_the_gallery_is_replaced_are_of_one_state(client, gallery):
    """Images are called 0 to 11 in one state and 200 to 211 in the other; their ids are the same."""
    one = client()
    stop, states = threading.Event(), [set(range(IMAGES)), set(range(200, 200 + IMAGES))]

    def ask():
        asked = 0
        while not stop.is_set():
            answer = one.post("/v1/search", files=files(5), data={"k": 12})
            assert answer.status_code == 200, answer.text
            assert {int(image["name"][:4]) for image in answer.json()["images"]} in states
            asked += 1
        return asked

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        for start in (200, 0, 200, 0, 200):
            build_gallery(gallery.parent, range(start, start + IMAGES), overwrite=True)
        stop.set()
        assert min(future.result() for future in asking) > 0


def test_two_services_do_not_share_a_folder_of_images(gallery):
    service = open_service(gallery)
    with pytest.raises(UserError, match="another service"):
        open_service(gallery)
    service.close()
    open_service(gallery).close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "set a token in REID_DML_TOKEN"),
        (["--gallery", "nothing.index"], "no such index"),
        (["--prior", "1"], "--prior 1.0"),
        (["--waiting", "0"], "must be 1 or more"),
        (["--store", "{gallery}/images"], "is in the folder of the index; name another folder"),
        ([], "cannot be compared"),
    ],
)
def test_the_command_refuses(command, tiny_run, gallery, arguments, words, monkeypatch):
    monkeypatch.delenv("REID_DML_TOKEN", raising=False)
    pytest.importorskip("uvicorn")
    words_given = [word.format(gallery=gallery) for word in arguments]
    result = command("serve", "--run", tiny_run, "--gallery", gallery, *words_given, "DEVICE", "cpu")
    assert words in result.error


def test_the_command_refuses_a_port_that_is_taken(command, tiny_run, gallery):
    pytest.importorskip("uvicorn")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        index = build_gallery(gallery.parent, range(3), model=run_fingerprint(tiny_run), overwrite=True)
        result = command("serve", "--run", tiny_run, "--gallery", index, "--port", port, "DEVICE", "cpu")
    assert f"127.0.0.1:{port}: nothing can listen there" in result.error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_is_told_to_end_has_not_failed(tiny_run, gallery, number):
    pytest.importorskip("uvicorn")
    index = build_gallery(gallery.parent, range(3), model=run_fingerprint(tiny_run), overwrite=True)
    words = ["serve", "--run", str(tiny_run), "--gallery", str(index), "--port", "0", "DEVICE", "cpu"]
    with subprocess.Popen([sys.executable, "-m", "reid_dml", *words], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "3 images at http://127.0.0.1:" in process.stdout.readline()
        process.send_signal(number)
        assert process.wait(30) == 0


def test_answers_do_not_wait_for_more_to_send():
    with open_door("127.0.0.1", 0) as door:
        assert door.proto == socket.IPPROTO_TCP


def run_fingerprint(run: Path) -> str:
    return FeatureExtractor.from_run(run, device="cpu").model


def test_the_command_names_what_is_missing(command, tiny_run, gallery, monkeypatch):
    monkeypatch.setattr("reid_dml.extras.find_spec", lambda name: None)
    result = command("serve", "--run", tiny_run, "--gallery", gallery)
    assert "pip install 'reid_dml[serve]'" in result.error


def test_the_store_leaves_other_people_s_files_alone(tmp_path):
    (tmp_path / "thesis.pending").touch()
    store = ImageStore(tmp_path)
    store.settle(lambda names: [])
    store.close()
    assert (tmp_path / "thesis.pending").exists()

"""The page in a real Chromium, where there is one and Playwright: on a desktop and on a phone."""

from __future__ import annotations

import shutil
import socket
import threading
import time

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
pytest.importorskip("uvicorn")
pytest.importorskip("playwright")

import uvicorn
from playwright.sync_api import expect, sync_playwright

from reid_dml.ranking.probability import SamePerson
from reid_dml.ranking.thresholds import Threshold
from reid_dml.service.app import create_app
from tests.service.conftest import IMAGES, MODEL, open_service, person

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}


def image(name, data):
    """A file to choose."""
    return {"name": name, "mimeType": "image/png", "buffer": data}


@pytest.fixture
def address(gallery):
    """Where a service of the gallery answers."""
    calibration = Threshold(0.99, "cosine", MODEL, SamePerson(100.0, -95.0), "t.json")
    app = create_app(open_service(gallery, calibration=calibration))
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, args=([door],))
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield f"http://127.0.0.1:{door.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
@pytest.mark.parametrize("size", SIZES)
def test_a_person_is_found_filtered_compared_added_and_erased(address, size):
    width, height = SIZES[size]
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS.split())
        page = browser.new_page(viewport={"width": width, "height": height})
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))

        def search(number):
            page.set_input_files("#search input[type=file]", image(f"{number}.png", person(number)))
            expect(page.locator("#results h2")).to_have_text(f"Nearest to {number}.png")

        page.goto(address)
        expect(page.locator(".card")).to_have_count(IMAGES)
        search(5)
        first = page.locator(".card").first
        expect(first.locator(".name")).to_have_text("0005<b>.png")
        expect(first.locator(".verdict")).to_have_text("same person")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing sticks out

        if size == "phone":
            page.locator("#filters summary").click()
        page.locator("#filters label", has_text="hall").click()
        expect(page.locator(".card")).to_have_count(4)
        assert "camera=hall" in page.url
        page.locator("[data-clear]").click()
        expect(page.locator(".card")).to_have_count(IMAGES)

        page.locator("[data-pick]").nth(1).check()
        page.locator("[data-compare]").click()
        expect(page.locator("dialog[open] figure")).to_have_count(2)
        page.keyboard.press("Escape")
        page.locator("[data-none]").click()

        page.locator("summary", has_text="Add to the gallery").click()
        page.set_input_files("#add input[type=file]", image("new.png", person(40)))
        page.locator("#add button").click()
        expect(page.locator("#added .good")).to_contain_text("1 image added")
        expect(page.locator("#count")).to_contain_text(f"{IMAGES + 1} images")
        search(40)
        expect(first.locator(".name")).to_have_text("new.png")
        page.once("dialog", lambda asked: asked.accept())
        first.locator(".danger").click()
        expect(page.locator("#count")).to_contain_text(f"{IMAGES} images")
        expect(first.locator(".name")).not_to_have_text("new.png")

        name = first.locator(".name").inner_text()
        first.locator(".picture").focus()
        page.keyboard.press("Enter")  # the keyboard searches from a result
        expect(page.locator("#results h2")).to_have_text(f"Nearest to {name}")
        assert not complaints
        page.set_input_files("#search input[type=file]", image("x.png", b"no"))
        expect(page.locator("#message")).to_contain_text("x.png: is not a JPEG")
        browser.close()

"""Who is let in, and what every answer says to a browser."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")

from starlette.responses import Response

from reid_dml.errors import UserError
from reid_dml.service.guard import Guard, check_access
from reid_dml.service.limits import Limits
from tests.service.conftest import build_gallery, files

TOKEN = "correct horse battery"


def test_the_door_is_not_open_to_others_without_a_token():
    for host in ("127.0.0.1", "localhost", "::1"):
        check_access(host, "")
    with pytest.raises(UserError, match="REID_DML_TOKEN"):
        check_access("0.0.0.0", "")
    with pytest.raises(UserError, match="16 or more"):
        check_access("0.0.0.0", "secret")
    check_access("0.0.0.0", TOKEN)


def test_a_token_is_asked_for(client):
    one = client(token=TOKEN)
    for path in ("/v1/gallery", "/metrics", "/openapi.json", "/", "/results", "/export.csv"):
        assert one.get(path).status_code == 401, path
        assert one.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert one.get(path, headers={"Cookie": f"reid_dml={TOKEN}"}).status_code == 401
    assert one.post("/v1/embed", files=files(1)).status_code == 401
    assert one.get("/healthz").status_code == one.get("/readyz").status_code == 200
    assert one.get("/v1/gallery", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    page = one.get("/", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login")


def test_what_needs_no_token_tells_nothing_of_the_gallery(client, gallery, caplog):
    one = client(token=TOKEN)
    build_gallery(gallery.parent, range(3), model="1" * 32, overwrite=True)
    answer = one.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"error": "not ready"})
    assert "cannot be compared" in caplog.text


def test_a_browser_gets_in_by_the_token(client):
    one = client(token=TOKEN)
    assert one.post("/login", data={"token": "wrong"}).status_code == 401
    answer = one.post("/login", data={"token": TOKEN})
    assert answer.status_code == 303
    kept = answer.headers["set-cookie"]
    assert TOKEN not in kept
    assert "HttpOnly" in kept
    assert "SameSite=strict" in kept
    assert one.get("/", headers={"Accept": "text/html"}).status_code == 200  # the client keeps cookies


def test_a_site_of_another_name_or_origin_is_refused(client):
    one = client(hosts=("testserver", "::1"))
    assert one.get("/v1/gallery", headers={"Host": "evil.example"}).status_code == 421
    assert one.get("/v1/gallery", headers={"Host": "[::1]:8000"}).status_code == 200
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        assert one.post("/v1/embed", files=files(1), headers=headers).status_code == 403
    for headers in ({"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}):
        assert one.post("/v1/embed", files=files(1), headers=headers).status_code == 200


def test_too_many_bytes_are_refused_whether_they_are_announced_or_not(client):
    one = client(limits=Limits(upload_bytes=5000))
    announced = one.post("/v1/embed", files={"images": ("a.png", bytes(6000), "image/png")})
    assert (announced.status_code, "5,000 bytes" in announced.json()["error"]) == (413, True)
    head = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    silent = one.post("/v1/embed", content=iter([head, *[bytes(1000)] * 20, b"\r\n--x--\r\n"]), headers=kind)
    assert (silent.status_code, "5,000 bytes" in silent.json()["error"]) == (413, True)
    assert one.post("/v1/embed", files=files(1)).status_code == 200


async def asked(guard, path, receive, headers=()):
    """Status and text of what a guard answers to a POST whose body comes from `receive`."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"", "headers": list(headers)}
    await guard(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode()


async def reads_all(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await Response("read")(scope, receive, send)


def a_guard(**limits):
    metrics = SimpleNamespace(answered=lambda *_: None)
    return Guard(reads_all, token=TOKEN, hosts=(), limits=Limits(**limits), metrics=metrics)


async def nothing():
    await asyncio.Event().wait()


async def empty():
    return {"type": "http.request", "body": b"", "more_body": False}


def test_people_without_the_token_cannot_keep_others_out():
    guard, bearer = a_guard(), [(b"authorization", b"Bearer " + TOKEN.encode())]

    async def ask():
        slow = [asyncio.create_task(asked(guard, "/login", nothing)) for _ in range(64)]
        await asyncio.sleep(0)
        answer = await asked(guard, "/v1/search", empty, bearer)
        for one in slow:
            one.cancel()
        return answer

    assert asyncio.run(ask()) == (200, "read")


def test_what_needs_no_token_is_small():
    async def large():
        return {"type": "http.request", "body": bytes(5000), "more_body": True}

    for headers in (
        (),
        [(b"content-length", b"5000")],
        [(b"content-length", b"9" * 5000)],
        [(b"content-length", b"\xb2")],
    ):
        status, text = asyncio.run(asked(a_guard(), "/login", large, headers))
        assert (status, "4,096 bytes" in text) == (413, True)
    assert asyncio.run(asked(a_guard(), "/static/style.css", large))[0] == 401


async def drips():
    await asyncio.sleep(0.01)
    return {"type": "http.request", "body": b"x", "more_body": True}


@pytest.mark.parametrize("comes", [nothing, drips])
def test_a_body_that_does_not_come_is_given_up(monkeypatch, comes):
    monkeypatch.setattr("reid_dml.service.guard._PATIENCE", 0.1)
    guard = a_guard()
    status, text = asyncio.run(asked(guard, "/v1/search", comes, [(b"authorization", b"Bearer " + TOKEN.encode())]))
    assert (status, "too slowly" in text, guard.uploads) == (408, True, 0)


def test_a_large_body_may_take_its_time(monkeypatch):
    monkeypatch.setattr("reid_dml.service.guard._PATIENCE", 0.5)
    parts = iter([b"x" * 5000] * 100)

    async def steady():
        await asyncio.sleep(0.01)
        part = next(parts, b"")
        return {"type": "http.request", "body": part, "more_body": bool(part)}

    guard = a_guard()
    bearer = [(b"authorization", b"Bearer " + TOKEN.encode())]
    assert asyncio.run(asked(guard, "/v1/search", steady, bearer)) == (200, "read")


def test_pages_can_run_no_script_but_ours(client):
    one = client()
    for path in ("/", "/login", "/compare", "/results?search=no"):
        answer = one.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        inline = r"<script>|<script[^>]*>[^<]|<style| style=| on\w+=|javascript:|https?://"
        assert not re.search(inline, answer.text)


def test_a_failure_is_one_line_without_its_reason(client, monkeypatch):
    one = client()
    monkeypatch.setattr("reid_dml.service.service.Service.verify", lambda *_: 1 / 0)
    answer = one.post("/v1/verify", files=files(1, field="first") + files(2, field="second"))
    assert (answer.status_code, answer.json()) == (500, {"error": "the service failed; its log says why"})
    assert "content-security-policy" in answer.headers

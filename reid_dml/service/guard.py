"""What every request passes first: who asks, from where, for how much; and the headers that every answer gets."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Collection
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reid_dml.errors import UserError
from reid_dml.service.limits import Limits
from reid_dml.service.metrics import Metrics

_LOGGER = logging.getLogger(__name__)
COOKIE = "reid_dml"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OPEN = ("/healthz", "/readyz", "/login")  # and /static/: they tell nothing of the gallery
_OPEN_BYTES = 4096  # of a body for them
_PATIENCE = 30.0  # seconds that are waited for a body
_SLOWEST = 10_000  # bytes that win another second
_SHORTEST = 16
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def check_access(host: str, token: str) -> None:
    """Raise `UserError` for a service that others could reach without a token, and for a token that can be guessed."""
    if not token and host not in LOOPBACK:
        raise UserError(
            f"--host {host}: other machines could reach the gallery; set a token in REID_DML_TOKEN, or listen on "
            "127.0.0.1"
        )
    if token and len(token) < _SHORTEST:
        raise UserError(f"REID_DML_TOKEN: has {len(token)} characters; use {_SHORTEST} or more that nobody can guess")


def cookie_of(token: str) -> str:
    """What a browser keeps in place of the token."""
    return sha256(b"reid_dml cookie " + token.encode()).hexdigest()


class Guard:
    """Refuses what must not reach the service (pure ASGI: nothing is buffered).

    Args:
        app: what is guarded.
        token: that requests must show; empty: none.
        hosts: names by which the service may be addressed: a page of another name that resolves to this machine
            cannot read from it. Empty: any, as behind a proxy that checks them.
        limits: of bodies, and of requests with one at a time, those that need no token apart.
        metrics: told of every answer.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: Collection[str], limits: Limits, metrics: Metrics) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self.token, self.hosts, self.uploads = token, frozenset(hosts), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = min(_OPEN_BYTES, self.limits.upload_bytes) if _is_open(scope) else self.limits.upload_bytes
        body = _Body(receive, send, limit, keep=scope["path"].startswith("/static/"))
        started, sends = time.perf_counter(), not _is_open(scope) and not _only_reads(scope)
        try:
            if refusal := self._refusal(scope, Headers(scope=scope), limit):
                await refusal(scope, receive, body.send)
                return
            self.uploads += sends
            try:
                await self.app(scope, body.receive, body.send)
            except _CutOff:
                pass
            except Exception:
                _LOGGER.exception("%s %s failed", scope["method"], scope["path"])
                if not body.status:
                    await _error(500, "the service failed; its log says why")(scope, receive, body.send_now)
            finally:
                self.uploads -= sends
            if body.refusal and not body.status:
                await body.refusal(scope, receive, body.send_now)
        finally:
            path = getattr(scope.get("route"), "path", "/static" if body.keep else "other")
            self.metrics.answered(scope["method"], path, body.status, time.perf_counter() - started)

    def _refusal(self, scope: Scope, headers: Headers, limit: int) -> Response | None:
        if self.hosts and _name(headers.get("host", "")) not in self.hosts:
            return _error(421, "this service does not answer to that name")
        if not _only_reads(scope) and _is_foreign(headers):
            return _error(403, "a page of another site sent this request")
        if self.token and not _is_open(scope) and not self._knows_token(headers):
            if scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
                return RedirectResponse("/login", 303)
            response = _error(401, "show the token: Authorization: Bearer ...")
            response.headers["WWW-Authenticate"] = "Bearer"
            return response
        length = headers.get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > limit:
            return _too_large(limit)
        if not _is_open(scope) and not _only_reads(scope) and self.uploads >= self.limits.waiting:
            return busy(f"{self.uploads} requests are being answered; try again in a second")
        return None

    def _knows_token(self, headers: Headers) -> bool:
        kind, _, shown = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return hmac.compare_digest(shown.strip().encode(), self.token.encode())
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), cookie_of(self.token).encode())


class _CutOff(Exception):
    """No more of a request is read."""


class _Body:
    """Counts what comes in, and looks at what goes out."""

    def __init__(self, receive: Receive, send: Send, limit: int, *, keep: bool) -> None:
        self._receive, self._send, self._limit, self.keep = receive, send, limit, keep
        self._size, self._whole, self._waited = 0, False, 0.0
        self.refusal: Response | None = None
        self.status = 0

    async def receive(self) -> Message:
        began = time.perf_counter()
        left = _PATIENCE + self._size / _SLOWEST - self._waited
        try:  # behind the whole body only the end of the connection comes
            async with asyncio.timeout(None if self._whole else left):
                message = await self._receive()
        except TimeoutError:
            self.refusal = _error(408, f"of the request {self._size:,} bytes came, too slowly to wait for the rest")
            raise _CutOff from None
        self._waited += time.perf_counter() - began
        self._whole = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            self.refusal = _too_large(self._limit)
            raise _CutOff
        return message

    async def send(self, message: Message) -> None:
        if not self.refusal or self.status:  # what the application makes of a body that was cut off is not sent
            await self.send_now(message)

    async def send_now(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers[name] = value
            headers["Cache-Control"] = "max-age=3600" if self.keep else "no-store"
        await self._send(message)


def busy(message: str) -> Response:
    """An answer that asks to try again."""
    response = _error(429, message)
    response.headers["Retry-After"] = "1"
    return response


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def _too_large(limit: int) -> Response:
    return _error(413, f"the request is larger than {limit:,} bytes")


def _only_reads(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD")


def _is_open(scope: Scope) -> bool:
    """Whether a request needs no token."""
    return scope["path"] in _OPEN or (_only_reads(scope) and scope["path"].startswith("/static/"))


def _name(host: str) -> str:
    """A host without its port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_foreign(headers: Headers) -> bool:
    """Whether a page of another site makes a browser send this. Other clients than browsers say nothing of it."""
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")

"""The application: page and REST interface behind the guard."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles

from reid_dml.errors import UnavailableError, UserError
from reid_dml.service.guard import LOOPBACK, Guard
from reid_dml.service.limits import Refusal
from reid_dml.service.metrics import Metrics
from reid_dml.service.pages import Pages
from reid_dml.service.rest import rest
from reid_dml.service.service import Service
from reid_dml.versions import __version__

_LOGGER = logging.getLogger(__name__)
_RETRY = (429, 503)


def create_app(service: Service, *, token: str = "", hosts: Collection[str] = LOOPBACK) -> FastAPI:
    """The application of a service, which is closed when the application ends.

    Args:
        service: what is asked.
        token, hosts: as for `guard.Guard`.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    metrics, pages = Metrics(service), Pages(service, token)
    app = FastAPI(
        title="reid_dml",
        description="Find a person in a gallery of images.",
        version=__version__,
        docs_url=None,  # they would fetch scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.include_router(rest(service, metrics))
    app.include_router(pages.routes, include_in_schema=False)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"))
    app.add_middleware(Guard, token=token, hosts=hosts, limits=service.limits, metrics=metrics)

    def answer(request: Request, status: int, message: str) -> Response:
        if pages.are_asked(request):
            return pages.refusal(request, status, message)
        headers = {"Retry-After": "1"} if status in _RETRY else None
        return JSONResponse({"error": message}, status, headers)

    @app.exception_handler(UserError)
    async def refused(request: Request, error: UserError) -> Response:
        status = error.status if isinstance(error, Refusal) else 503 if isinstance(error, UnavailableError) else 422
        if isinstance(error, UnavailableError):
            _LOGGER.warning("%s", error)  # with what is not for everybody
        return answer(request, status, " ".join(service.public(error).split()))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "request"
        if "UploadFile" in first["msg"]:  # a form whose file field was left empty, or a text in its place
            return answer(request, 422, f"{place.split('.')[0]}: no file was sent; choose an image")
        return answer(request, 422, f"{place}: {'is missing' if first['type'] == 'missing' else first['msg']}")

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException) -> Response:
        return answer(request, error.status_code, str(error.detail))

    return app

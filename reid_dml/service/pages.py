"""The page. Every form works without JavaScript too; htmx then replaces parts of the page instead of all of it."""

from __future__ import annotations

import hmac
import math
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import fastapi
import numpy as np
from fastapi import APIRouter, File, Form, Request, UploadFile
from starlette.responses import RedirectResponse, Response
from starlette.templating import Jinja2Templates

from reid_dml.errors import UserError
from reid_dml.service.answers import Shown, parse_id, settled, shown
from reid_dml.service.export import as_csv, as_json
from reid_dml.service.guard import COOKIE, cookie_of
from reid_dml.service.limits import Refusal
from reid_dml.service.queries import Query
from reid_dml.service.requests import read_uploads, wanted_of
from reid_dml.service.service import Labels, Service

PAGE = 48  # results that are shown at once, and fetched by `more`
_START = 24  # images of the gallery on the page before anything was searched
_MANY = 40  # cameras that are offered by name

Files = Annotated[list[UploadFile], File(default_factory=list)]


class Pages:
    """The routes of the page.

    Args:
        service: what is asked.
        token: that people must give to see it; empty: none.
    """

    def __init__(self, service: Service, token: str) -> None:
        self.service, self.token = service, token
        self._templates = Jinja2Templates(Path(__file__).parent / "templates")
        self._about: tuple[object, dict[str, Any]] = (None, {})
        self.routes = APIRouter()
        routes: list[tuple[str, str, Any]] = [
            ("GET", "/", self._page),
            ("GET", "/results", self._results),
            ("POST", "/search", self._search),
            ("POST", "/search/{id}", self._search_from),
            ("GET", "/query/{name}/{number}", self._query_picture),
            ("GET", "/compare", self._compare),
            ("POST", "/compare", self._compare_files),
            ("POST", "/add", self._add),
            ("POST", "/remove", self._remove),
            ("GET", "/export.{kind}", self._export),
            ("GET", "/login", self._login),
            ("POST", "/login", self._give_token),
        ]
        for method, path, answer in routes:
            self.routes.add_api_route(path, answer, methods=[method], response_model=None)
        self._paths = {path.split("/")[1].split(".")[0] for _, path, _ in routes}

    def are_asked(self, request: Request) -> bool:
        """Whether a request is one of the page's, not of the REST interface."""
        return request.url.path.split("/")[1].split(".")[0] in self._paths

    def refusal(self, request: Request, status: int, message: str) -> Response:
        """Why a request is refused: text for the page that sent it, or a page.

        Args:
            request: that is refused.
            status: of HTTP.
            message: one line for people.
        """
        headers = {"Retry-After": "1"} if status in (429, 503) else None
        if _is_part(request):
            return Response(message, status, headers, media_type="text/plain; charset=utf-8")
        content = {"message": message, "status": status}
        return self._templates.TemplateResponse(request, "error.html", content, status, headers)

    def _page(self, request: Request) -> Response:
        """The whole page, with the results of the search that its address names."""
        return self._render(request, "page.html", **self._found(request))

    def _results(self, request: Request) -> Response:
        """The results alone, or those behind an offset."""
        content = self._found(request)
        response = self._render(request, "cards.html" if content["offset"] else "results.html", **content)
        if not content["offset"]:
            response.headers["HX-Push-Url"] = "/?" + content["address"]
        return response

    def _search(self, request: Request, images: Files) -> Response:
        """Search for images of one person."""
        uploads = read_uploads(self.service, images)
        features = self.service.embed(uploads)
        pictures, names = [upload.picture for upload in uploads], [upload.name for upload in uploads]
        return self._begin(request, Query(features.mean(0), pictures, names))

    def _search_from(self, request: Request, id: str) -> Response:
        """Search from an image of the gallery."""
        feature, picture = self.service.feature_of_entry(id), self.service.picture(id, 320)
        name = self._shown(id).name
        return self._begin(request, Query(feature, [picture], [name], id))

    def _query_picture(self, name: str, number: int) -> Response:
        """An image that was searched for."""
        query = self._query(name)
        if not 0 <= number < len(query.pictures):
            raise Refusal(404, "the search has no such image")
        return Response(query.pictures[number], media_type="image/jpeg")

    def _compare(
        self,
        request: Request,
        id: Annotated[list[str], fastapi.Query(default_factory=list)],
        search: str = "",
    ) -> Response:
        """Two images of the gallery side by side, or one beside the first that was searched for."""
        if not 1 <= len(id) <= 2 or (len(id) == 1 and not search):
            raise Refusal(422, "choose two images to compare")
        sides = [{"url": f"/v1/gallery/{key}/picture?side=640", "image": self._shown(key)} for key in id]
        features = [self.service.feature_of_entry(key) for key in id]
        if len(id) == 1:
            query = self._query(search)
            sides.insert(0, {"url": f"/query/{search}/0", "image": Shown("", query.names[0], "", "", "")})
            features.insert(0, query.feature)
        return self._render(request, "compare.html", sides=sides, verdict=self.service.verify(np.stack(features)))

    def _compare_files(self, request: Request, images: Files) -> Response:
        """Two images that are sent, side by side."""
        uploads = read_uploads(self.service, images)
        if len(uploads) != 2:
            raise Refusal(422, "choose two images to compare")
        features = self.service.embed(uploads)
        pictures, names = [upload.picture for upload in uploads], [upload.name for upload in uploads]
        name = self.service.queries.keep(Query(features[0], pictures, names))
        sides = [
            {"url": f"/query/{name}/{number}", "image": Shown("", upload.name, "", "", "")}
            for number, upload in enumerate(uploads)
        ]
        return self._render(request, "compare.html", sides=sides, verdict=self.service.verify(features))

    def _add(
        self,
        request: Request,
        images: Files,
        camera: Annotated[str, Form()] = "",
        person: Annotated[str, Form()] = "",
        time: Annotated[str, Form()] = "",
    ) -> Response:
        """Add images to the gallery."""
        new, known = self.service.add(read_uploads(self.service, images), Labels(camera, person, time))
        shown = [self._shown(key) for key in new]
        return self._render(request, "added.html", added=shown, known=[self._shown(key) for key in known])

    def _remove(self, request: Request, id: Annotated[list[str], Form(default_factory=list)]) -> Response:
        """Erase images from the gallery for good."""
        self.service.remove(id)
        return self._render(request, "removed.html") if _is_part(request) else RedirectResponse("/", 303)

    def _export(self, request: Request, kind: str) -> Response:
        """The whole list as a file."""
        if kind not in ("csv", "json"):
            raise Refusal(404, "lists are exported as .csv or .json")
        name = request.query_params.get("search", "")
        found = self.service.search(self._query(name).feature, self._wanted(request, self.service.limits.results))
        metric = self.service.gallery.current().spec.metric
        text = as_csv(found) if kind == "csv" else as_json(found, metric)
        headers = {"Content-Disposition": f'attachment; filename="found.{kind}"'}
        media = "text/csv; charset=utf-8" if kind == "csv" else "application/json"
        return Response(text, headers=headers, media_type=media)

    def _login(self, request: Request) -> Response:
        """Where a browser is asked for the token."""
        return self._templates.TemplateResponse(request, "login.html", {"wrong": False})

    def _give_token(self, request: Request, token: Annotated[str, Form()] = "") -> Response:
        """Take the token and let the browser keep what stands for it."""
        if not self.token or not hmac.compare_digest(token.strip().encode(), self.token.encode()):
            return self._templates.TemplateResponse(request, "login.html", {"wrong": True}, 401)
        response = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie_of(self.token), httponly=True, samesite="strict", secure=secure)
        return response

    def _begin(self, request: Request, query: Query) -> Response:
        """Show the first results of a new query, under an address of its own."""
        name = self.service.queries.keep(query)
        if not _is_part(request):
            return RedirectResponse(f"/?{urlencode({'search': name})}", 303)
        content = self._found(request, name)
        response = self._render(request, "results.html", **content)
        response.headers["HX-Push-Url"] = "/?" + content["address"]
        return response

    def _found(self, request: Request, name: str = "") -> dict[str, Any]:
        """What the templates of results need, by the parameters of a request."""
        given = request.query_params
        name = name or given.get("search", "")
        offset = int(given["offset"]) if given.get("offset", "").isdecimal() and len(given["offset"]) < 6 else 0
        query = self.service.queries.get(name)
        filters = [(key, value) for key, value in given.multi_items() if key in _FILTERS and value]
        content: dict[str, Any] = {
            "query": query,
            "name": name,
            "offset": offset,
            "given": given,
            "chosen": given.getlist("camera"),
            "note": "" if query or not name else "This search is over: images are kept for an hour. Search again.",
            "answers": [],
            "more": False,
            "start": [],
            "address": urlencode([("search", name), *filters]),
        }
        if query is None:
            content["start"] = self._start()
            return content
        most = min(offset + PAGE, self.service.limits.results)
        try:
            wanted = self._wanted(request, min(most + 1, self.service.limits.results))
            found = self.service.search(query.feature, wanted)
        except Refusal:
            raise
        except UserError as error:  # no image of such a camera or time
            content["note"] = self.service.public(error)
            return content
        return content | {"answers": found[offset:most], "more": len(found) > most, "next": most}

    def _wanted(self, request: Request, k: int) -> Any:
        given = request.query_params
        text = given.get("threshold", "").replace(",", ".")
        try:
            threshold = float(text) if text else None
        except ValueError:
            threshold = math.nan
        if threshold is not None and not math.isfinite(threshold):
            raise Refusal(422, "the threshold is no number")
        return wanted_of(
            self.service,
            k=k,
            camera=given.getlist("camera"),
            since=given.get("since", ""),
            until=given.get("until", ""),
            threshold=threshold,
        )

    def _start(self) -> list[Shown]:
        """Some images of the gallery, spread over all."""
        gallery = self.service.gallery.current()

        def look() -> list[Shown]:
            ids = gallery.some(_START) if len(gallery) else []
            return [shown(*pair) for pair in zip(ids, gallery.images(ids), strict=True)] if ids else []

        return settled(look)

    def _query(self, name: str) -> Query:
        if (query := self.service.queries.get(name)) is None:
            raise Refusal(404, "this search is over; search again")
        return query

    def _shown(self, key: str) -> Shown:
        record = self.service.record(key)
        return shown(parse_id(key), record)

    def _render(self, request: Request, template: str, **content: Any) -> Response:
        calibration = self.service.calibration
        content |= self._gallery() | {
            "calibration": calibration,
            "prior": self.service.prior,
            "writable": self.service.store is not None,
            "limits": self.service.limits,
            "asks_token": bool(self.token),
            "percent": _percent,
        }
        return self._templates.TemplateResponse(request, template, content)

    def _gallery(self) -> dict[str, Any]:
        """What the page says of the gallery; looked up once for each state of it."""
        gallery = self.service.gallery.current()
        state = (gallery, gallery.state)
        if self._about[0] != state:
            names = gallery.names
            cameras = [names.cameras.get(number, str(number)) for number in gallery.cameras() if number >= 0]
            metric = gallery.spec.metric
            about = {
                "count": len(gallery),
                "cameras": cameras if 1 < len(cameras) <= _MANY else [],
                "many_cameras": len(cameras) > _MANY,
                "has_times": gallery.has_times() or bool(self.service.time_pattern),
                "metric": metric,
                "score": "similarity" if metric == "cosine" else "distance",
            }
            self._about = (state, about)
        return self._about[1]


_FILTERS = ("camera", "since", "until", "threshold")


def _is_part(request: Request) -> bool:
    """Whether htmx asks, for a part of the page."""
    return "hx-request" in request.headers


def _percent(share: float | None) -> str:
    """A probability for people: never certain."""
    if share is None:
        return ""
    text = f"{100 * share:.0f}"
    return "over 99 %" if text == "100" else "under 1 %" if text == "0" else f"{text} %"

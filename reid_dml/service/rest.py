"""The REST interface. Every answer is JSON; an error is {"error": "one line"}."""

from __future__ import annotations

import logging
import math
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, UploadFile
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from reid_dml.errors import UserError
from reid_dml.service.answers import parse_id, shown
from reid_dml.service.limits import Refusal
from reid_dml.service.metrics import Metrics
from reid_dml.service.requests import check_names, read_uploads, wanted_of
from reid_dml.service.service import Labels, Service

_LOGGER = logging.getLogger(__name__)
Images = Annotated[list[UploadFile], File(description="image files: JPEG, PNG, WebP, BMP, GIF or TIFF")]
_ERRORS = {
    401: "no token, or a wrong one",
    403: "not allowed",
    404: "no such image",
    408: "the request stopped coming",
    409: "the gallery has an image with another camera, person or time",
    413: "too many bytes",
    422: "an image or a value that cannot be used",
    429: "too busy: try again",
    503: "not available now: try again",
    507: "the disk is full",
}


class Error(BaseModel):
    """Why a request is refused."""

    error: str


class Features(BaseModel):
    """Rows of length 1, in the order of the images."""

    model: str
    dimension: int
    features: list[list[float]]


class GalleryImage(BaseModel):
    """An image of the gallery; what is not known is an empty text."""

    id: str
    name: str
    person: str
    camera: str
    time: str


class Found(GalleryImage):
    """An image of a ranked list; `same_person` and `probability` are null without a calibration."""

    rank: int
    score: float
    same_person: bool | None
    probability: float | None


class RankedImages(BaseModel):
    """Nearest first: scores are cosine similarities, falling, or Euclidean distances, rising."""

    metric: str
    images: list[Found]


class Verdict(BaseModel):
    """Do two images show one person?"""

    metric: str
    score: float
    threshold: float | None
    same_person: bool | None
    probability: float | None
    prior: float


class GalleryState(BaseModel):
    """What the gallery is."""

    count: int
    model: str
    metric: str
    dimension: int
    type: str


class Added(BaseModel):
    """Ids of the images that are new, and of those that were there already."""

    added: list[str]
    known: list[str]


class Removed(BaseModel):
    """Images erased from the gallery, and files of images that the service kept and erased too."""

    removed: int
    files: int


def rest(service: Service, metrics: Metrics) -> APIRouter:
    """The routes of the REST interface."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": Error, "description": text} for status, text in _ERRORS.items()
    }
    routes = APIRouter(responses=errors, dependencies=[Depends(check_names)])

    @routes.post("/v1/embed", tags=["networks"])
    def embed(images: Images) -> Features:
        """Features of images."""
        features = service.embed(read_uploads(service, images))
        return Features(
            model=service.extractor.model, dimension=features.shape[1], features=features.astype(float).tolist()
        )

    @routes.post("/v1/verify", tags=["networks"])
    def verify(
        first: Annotated[UploadFile, File(description="an image")],
        second: Annotated[UploadFile, File(description="another image")],
    ) -> Verdict:
        """Do two images show one person?"""
        return Verdict(**vars(service.verify(service.embed(read_uploads(service, [first, second])))))

    @routes.post("/v1/search", tags=["gallery"])
    def search(
        images: Annotated[list[UploadFile], File(default_factory=list, description="images of one person")],
        camera: Annotated[list[str], Form(default_factory=list, description="only of these cameras, by id or name")],
        not_camera: Annotated[list[str], Form(default_factory=list, description="of none of these cameras")],
        id: Annotated[str, Form(description="instead of images: the id of one of the gallery")] = "",
        k: Annotated[int, Form(description="length of the list")] = 10,
        since: Annotated[str, Form(description="ISO 8601, not before")] = "",
        until: Annotated[str, Form(description="ISO 8601, not after")] = "",
        threshold: Annotated[float | None, Form(description="at least this similar, or at most this far")] = None,
    ) -> RankedImages:
        """The images of the gallery nearest to a person."""
        if threshold is not None and not math.isfinite(threshold):
            raise Refusal(422, "threshold: is not a finite number")
        wanted = wanted_of(
            service, k=k, camera=camera, not_camera=not_camera, since=since, until=until, threshold=threshold
        )
        feature = service.feature_of_entry(id) if id else service.feature_of(read_uploads(service, images))
        found = service.search(feature, wanted)
        return RankedImages(
            metric=service.gallery.current().spec.metric, images=[Found(**vars(entry)) for entry in found]
        )

    @routes.get("/v1/gallery", tags=["gallery"])
    def state() -> GalleryState:
        """What the gallery is, and how many images it has."""
        gallery = service.gallery.current()
        spec = gallery.spec
        return GalleryState(
            count=len(gallery), model=spec.model, metric=spec.metric, dimension=spec.dimension, type=spec.factory
        )

    @routes.post("/v1/gallery", tags=["gallery"])
    def add(
        images: Images,
        camera: Annotated[str, Form(description="id or name")] = "",
        person: Annotated[str, Form(description="id or name")] = "",
        time: Annotated[str, Form(description="ISO 8601")] = "",
    ) -> Added:
        """Add images; once this is answered, they are on the disk. Sent again, they are not added twice."""
        new, known = service.add(read_uploads(service, images), Labels(camera, person, time))
        return Added(added=new, known=known)

    @routes.delete("/v1/gallery", tags=["gallery"])
    def remove(id: Annotated[list[str], Query(min_length=1, description="of the images to erase")]) -> Removed:
        """Erase images for good; of all that are named, or of none."""
        count, files = service.remove(id)
        return Removed(removed=count, files=files)

    @routes.get("/v1/gallery/{id}", tags=["gallery"])
    def image(id: str) -> GalleryImage:
        """What is known of an image."""
        record = service.record(id)
        return GalleryImage(**vars(shown(parse_id(id), record)))

    @routes.get("/v1/gallery/{id}/picture", tags=["gallery"], response_class=Response)
    def picture(id: str, side: Annotated[int, Query(ge=16, le=1024)] = 256) -> Response:
        """A small JPEG of an image, its longer side at most so long."""
        return Response(service.picture(id, side), media_type="image/jpeg")

    @routes.get("/healthz", tags=["service"])
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @routes.get("/readyz", tags=["service"])
    def readyz() -> Response:
        """Requests can be answered: 200, else 503."""
        try:
            service.check_ready()
        except UserError as error:
            _LOGGER.warning("not ready: %s", error)  # whoever asks has shown no token: told nothing of it
            return JSONResponse({"error": "not ready"}, 503)
        return JSONResponse({"status": "ready"})

    @routes.get("/metrics", tags=["service"], response_class=Response)
    def counts() -> Response:
        """Counts in the format of Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes

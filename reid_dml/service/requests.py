"""What requests say, as the service understands it: images of forms, filters, labels."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Request, UploadFile

from reid_dml.errors import UserError
from reid_dml.search.filters import ImageFilter, parse_moment
from reid_dml.service.answers import Wanted
from reid_dml.service.limits import Refusal
from reid_dml.service.service import Service
from reid_dml.service.uploads import Upload
from reid_dml.text import printable


async def check_names(request: Request) -> None:
    """Refuse a field or a parameter that the route does not have: a filter misspelt would be no filter."""
    if not request.url.path.startswith("/v1/"):  # what watches the service may add parameters of its own
        return
    taken = request.scope["route"].dependant
    known = {parameter.alias for parameter in (*taken.body_params, *taken.query_params)}
    sent = [*request.query_params, *(await request.form() if taken.body_params else ())]
    for name in sent:
        if name not in known:
            raise Refusal(422, f"{printable(name[:40])}: no such field; there are {', '.join(sorted(known)) or 'none'}")


def read_uploads(service: Service, files: Sequence[UploadFile]) -> list[Upload]:
    """The images of a form; a file field that was left empty counts for none. Refuses the first bad one."""
    files = [file for file in files if file.filename or file.size]
    if not 0 < len(files) <= service.limits.images:
        raise Refusal(422, f"{len(files)} images were sent; send 1 to {service.limits.images}")
    return [service.upload(file.file.read(), file.filename or "") for file in files]


def wanted_of(
    service: Service,
    *,
    k: int,
    camera: Sequence[str] = (),
    not_camera: Sequence[str] = (),
    since: str = "",
    until: str = "",
    threshold: float | None = None,
) -> Wanted:
    """What a ranked list is to hold.

    Args:
        service: that is asked.
        k: images.
        camera, not_camera: ids or names; empty ones count for none.
        since, until: ISO 8601; of a day its end is meant by `until`.
        threshold: as in `Wanted`.

    Raises:
        Refusal: 422, for a time that is none.
    """
    try:
        only = ImageFilter(
            cameras=[text for text in camera if text],
            not_cameras=[text for text in not_camera if text],
            since=parse_moment(since) if since else None,
            until=parse_moment(until, end=True) if until else None,
            time_pattern=service.time_pattern,
        )
    except (UserError, OverflowError) as error:
        raise Refusal(422, printable(error)) from None
    return Wanted(k, only, threshold)

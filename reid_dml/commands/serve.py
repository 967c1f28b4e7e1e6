"""Serving a gallery: a page to search it by image and a REST interface."""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from reid_dml.commands.networks import open_extractor
from reid_dml.errors import UserError
from reid_dml.extras import check
from reid_dml.ranking.thresholds import Threshold
from reid_dml.search.engines import is_url
from reid_dml.search.engines import shown as shown_place

_NEEDS = ("fastapi", "uvicorn", "jinja2", "multipart", "prometheus_client")
_TOKEN = "REID_DML_TOKEN"


def serve(
    gallery: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    config_file: str | os.PathLike[str] | None = None,
    options: Sequence[str] = (),
    network: str = "ensemble",
    host: str = "127.0.0.1",
    port: int = 8000,
    names: Collection[str] = (),
    store: str | os.PathLike[str] = "",
    read_only: bool = False,
    threshold: str | os.PathLike[str] | None = None,
    prior: float = 0.5,
    time_pattern: str = "",
    parameters: str = "",
    upload_megabytes: int = 32,
    image_megapixels: int = 40,
    waiting: int = 64,
) -> None:
    """Serve a gallery until the process is asked to end.

    Args:
        gallery: folder of its index, or `postgresql://user@host/database#gallery`.
        run, config_file, options, network: the networks that made it; see `commands.networks.open_extractor`.
        host, port: where to listen. For any other host than this machine itself, REID_DML_TOKEN must hold a token.
        names: further names by which the service may be addressed, as those of a proxy.
        store: folder for images that are added; empty: `GALLERY.images`.
        read_only: nothing is added or erased.
        threshold: file of reid-dml calibrate for these networks, or a number.
        prior: probability of one person before the images are seen, see `ranking.probability`.
        time_pattern: how times stand in names of files, see `search.filters.ImageFilter`.
        parameters: of searches in place of the index's own.
        upload_megabytes, image_megapixels, waiting: see `service.limits.Limits`.

    Raises:
        UserError: packages that are not there, an open door, networks and gallery that do not belong together.
    """
    check(_NEEDS, "serve", "serving")
    if is_url(gallery) and not (store or read_only):
        raise UserError(
            f"{shown_place(gallery)}: has no folder for images that are added; name one (--store DIR), or serve it "
            "--read-only"
        )
    if store and not is_url(gallery) and Path(gallery).resolve() in (place := Path(store).resolve(), *place.parents):
        raise UserError(f"--store {store}: is in the folder of the index; name another folder")
    if not 0 < prior < 1:
        raise UserError(f"--prior {prior}: must lie between 0 and 1")
    from reid_dml.service.guard import LOOPBACK, check_access

    token = os.environ.get(_TOKEN, "")
    check_access(host, token)
    limit = None if threshold is None else Threshold.read(threshold)
    import uvicorn

    from reid_dml.device import keep_freed_memory
    from reid_dml.service.app import create_app
    from reid_dml.service.image_store import ImageStore
    from reid_dml.service.limits import Limits
    from reid_dml.service.live_gallery import LiveGallery
    from reid_dml.service.service import Service

    limits = Limits(
        upload_megabytes * 10**6, image_megapixels * 10**6, images=min(32, max(waiting, 1)), waiting=waiting
    )
    keep_freed_memory()
    extractor = open_extractor(run, config_file, options, network)
    live = LiveGallery.of_place(gallery, extractor.model, parameters=parameters)
    service = Service(
        extractor,
        live,
        store=None if read_only else ImageStore(store or f"{os.path.normpath(gallery)}.images"),
        calibration=limit,
        prior=prior,
        time_pattern=time_pattern,
        limits=limits,
    )
    allowed = {*LOOPBACK, host, *names} - {"0.0.0.0", "::"}
    app = create_app(service, token=token, hosts=() if host in ("0.0.0.0", "::") and not names else allowed)
    # Whoever ends a service by a signal has not broken it off.
    with suppress(KeyboardInterrupt), open_door(host, port) as door:
        shown = f"[{host}]" if ":" in host else host
        print(
            f"{shown_place(gallery)}: {len(live.current()):,} images at http://{shown}:{door.getsockname()[1]}",
            flush=True,
        )
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(config).run([door])


def open_door(host: str, port: int) -> socket.socket:
    """Where to listen. Raises `UserError` where nobody may."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # Of a named protocol: of another socket asyncio does not know that it is TCP, and answers wait 40 ms (Nagle).
        door = socket.socket(family, kind, protocol or socket.IPPROTO_TCP)
        try:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(address)
            door.listen()  # whoever reads that it listens may connect at once
        except BaseException:
            door.close()
            raise
        return door
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{host}:{port}: nothing can listen there ({why}); choose another --port or --host") from None

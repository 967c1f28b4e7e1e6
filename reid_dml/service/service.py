"""What the service does, whether the page or the REST interface asks for it."""

from __future__ import annotations

import errno
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np

from reid_dml.data.images import BrokenImage, read_image, resize_image
from reid_dml.data.labels import LabelledImage, records_of, tidy
from reid_dml.data.records import UNKNOWN_CAMERA, UNKNOWN_PERSON, ImageRecord
from reid_dml.data.times import tidy_time
from reid_dml.errors import BusyError, UserError, describe_os_error
from reid_dml.features.extractor import FeatureExtractor
from reid_dml.features.feature_set import FeatureSet
from reid_dml.ranking.ranked_list import RankedList
from reid_dml.ranking.thresholds import Threshold
from reid_dml.ranking.verdict import Verdict, judge
from reid_dml.search.engines import is_url
from reid_dml.search.interface import AnyGallery
from reid_dml.service.answers import Answer, Wanted, answers, image_id, parse_id, shown
from reid_dml.service.image_store import ImageStore
from reid_dml.service.limits import Limits, Refusal
from reid_dml.service.live_gallery import LiveGallery
from reid_dml.service.queries import Queries
from reid_dml.service.searching import Search, search_together
from reid_dml.service.together import Together
from reid_dml.service.uploads import Upload, as_jpeg, decode_upload
from reid_dml.text import printable
from reid_dml.threads import end_threads

_LOGGER = logging.getLogger(__name__)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SEARCHES = 256  # that wait at most: more than requests do, whose pages search without an upload


@dataclass(frozen=True)
class Labels:
    """What somebody knows of the images that are added, as written; empty: not known. Times are ISO 8601."""

    camera: str = ""
    person: str = ""
    time: str = ""


class Service:
    """A gallery with the networks that made its features.

    Args:
        extractor: the networks.
        gallery: of their features.
        store: where added images are kept; None: the gallery is not changed.
        calibration: a threshold of these networks.
        prior: probability of one person before images are seen, for `ranking.probability`.
        time_pattern: how times stand in names of files, see `search.filters.ImageFilter`.
        limits: of requests.

    Raises:
        UserError: a threshold of other networks or another metric.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        gallery: LiveGallery,
        *,
        store: ImageStore | None = None,
        calibration: Threshold | None = None,
        prior: float = 0.5,
        time_pattern: str = "",
        limits: Limits | None = None,
    ) -> None:
        self.extractor, self.gallery, self.store = extractor, gallery, store
        self.calibration, self.prior, self.time_pattern = calibration, prior, time_pattern
        self.limits = limits or Limits()
        if calibration:
            gallery.require(lambda spec: calibration.check(spec.metric, extractor.model, "the gallery"))
        if store:
            store.settle(lambda names: gallery.current().called(names))
        self.embedder = Together[np.ndarray, np.ndarray](self._extract, "networks", waiting=self.limits.waiting)
        self.searcher = Together[Search, RankedList](self._search, "gallery", waiting=_SEARCHES)
        self.queries = Queries()
        self._changes = threading.Lock()

    def close(self) -> None:
        """Answer what waits, then end."""
        self.embedder.close()
        self.searcher.close()
        if self.store:
            self.store.close()

    @property
    def size(self) -> tuple[int, int]:
        """Stored size of images, height and width."""
        height, width = self.extractor.cfg.DATA.STORED_SIZE
        return height, width

    def check_ready(self) -> None:
        """Raise `UserError` where requests cannot be answered now."""
        len(self.gallery.current())  # asks a database
        if not (self.embedder.alive and self.searcher.alive):
            raise Refusal(503, "the service is being stopped")

    def upload(self, data: bytes, name: str) -> Upload:
        """An image that was sent. Raises `Refusal` as `uploads.decode_upload`."""
        return decode_upload(data, name, self.size, self.limits)

    def embed(self, uploads: Sequence[Upload]) -> np.ndarray:
        """(N, D) float32 features of images, 1 to `limits.images`."""
        if not 0 < len(uploads) <= self.limits.images:
            raise Refusal(422, f"{len(uploads)} images were sent; send 1 to {self.limits.images}")
        return np.stack(self.embedder([upload.pixels for upload in uploads]))

    def feature_of(self, uploads: Sequence[Upload]) -> np.ndarray:
        """(D,) float32: of one image its own feature, of several of one person their mean."""
        return self.embed(uploads).mean(0)

    def feature_of_entry(self, key: str) -> np.ndarray:
        """(D,) float32 of an image of the gallery, from its file."""
        return self.embedder([resize_image(self.pixels(key), self.size)])[0]

    def search(self, feature: np.ndarray, wanted: Wanted) -> list[Answer]:
        """The images of the gallery nearest to a feature (D,), nearest first."""
        if not 0 < wanted.k <= self.limits.results:
            raise Refusal(422, f"{wanted.k} results were asked for; ask for 1 to {self.limits.results:,}")
        query = FeatureSet(
            feature[None],
            np.array([UNKNOWN_PERSON]),
            np.array([UNKNOWN_CAMERA]),
            np.array(["query"]),
            self.extractor.model,
        )
        gallery = self.gallery.current()
        # A database has a process for each connection, and a filter makes a search its own: nothing is gained together.
        alone = is_url(gallery.path) or bool(wanted.only)

        def search(asked: Search) -> RankedList:
            return self._search([asked])[0] if alone else self.searcher([asked])[0]

        return answers(gallery, query, wanted, self.calibration, self.prior, search)

    def verify(self, features: np.ndarray) -> Verdict:
        """Judge two features (2, D)."""
        return judge(features, self.gallery.current().spec.metric, self.calibration, self.prior)

    def record(self, key: str, gallery: AnyGallery | None = None) -> ImageRecord:
        """The image of the gallery that an id of ours names; 404 where there is none (any more)."""
        gallery = self.gallery.current() if gallery is None else gallery
        try:
            record = gallery.images([parse_id(key)])[0]
        except ValueError:
            record = None
        if record is None or image_id(parse_id(key), record.path) != key:
            raise Refusal(404, "the gallery has no such image (any more)")
        return record

    def pixels(self, key: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB of an image of the gallery; 404 where its file cannot be read."""
        path = self.record(key).path
        try:
            return read_image(self.store.readable(path) if self.store else path, self.limits.image_pixels)
        except (BrokenImage, OSError):
            raise Refusal(404, "the file of this image cannot be read on the server") from None

    def picture(self, key: str, side: int) -> bytes:
        """A JPEG of an image of the gallery, at most so long."""
        return as_jpeg(self.pixels(key), side)

    def add(self, uploads: Sequence[Upload], labels: Labels) -> tuple[list[str], list[str]]:
        """Add images to the gallery: the ids of those that are new, and of those that were there already.

        When this returns, they are on the disk with their features. An image is there already if the bytes of its file
        are: a client that was not answered may send it again.

        Raises:
            Refusal: 409, for an image that is there with another person, camera or time; nothing is added then.
        """
        store, features = self._writable(), self.embed(uploads)
        with self._changing(store):
            rows = dict[str, int]()
            for row, upload in enumerate(uploads):
                rows.setdefault(store.path_for(upload.data, upload.name, upload.kind), row)
            there = self._known(store, list(rows))
            self._check_labels(there.values(), labels)
            new = [path for path in rows if path not in there]
            if new:
                records = _records(new, labels)
                for path in new:
                    store.keep(path, uploads[rows[path]].data)
                chosen = features[[rows[path] for path in new]]
                self.gallery.add(FeatureSet.of(chosen, records, self.extractor.model))
                store.confirm(new)
            found = self._known(store, new)
        return [found[path] for path in new], list(there.values())

    def _check_labels(self, keys: Iterable[str], labels: Labels) -> None:
        """Refuse what is said anew of images of the gallery: they keep what was said first."""
        said = vars(labels)
        new = vars(shown(0, _records([""], labels)[0]))
        for key in keys:
            old = vars(shown(0, self.record(key)))
            for what in said:
                if said[what].strip() and old[what] != new[what]:
                    raise Refusal(
                        409,
                        f"{old['name']}: is in the gallery with the {what} {printable(old[what]) or 'unknown'}, not "
                        f"{printable(new[what])}; erase it there first, or send it without {what}",
                    )

    def remove(self, keys: Sequence[str]) -> tuple[int, int]:
        """Erase images from the gallery for good: how many, and of how many the file was ours and is erased too."""
        store = self._writable()
        with self._changing(store):
            gallery = self.gallery.current()
            paths = list(dict.fromkeys(self.record(key, gallery).path for key in keys))
            owned = sum(map(store.owns, paths))
            for path in paths:
                store.withdraw(path)
            if paths:
                self.gallery.remove(paths)
                store.erase(paths)
        self.queries.forget(keys)
        return len(paths), owned

    def public(self, text: object) -> str:
        """A message without paths of this machine, and without the words of a database, which names its address."""
        gallery = str(self.gallery.path)
        if is_url(gallery) and str(text).startswith(gallery):
            text = re.sub(r" \(.*\)", "", str(text), flags=re.DOTALL)
        for path in (os.path.abspath(gallery), gallery):
            text = str(text).replace(path, "the gallery")
        return re.sub(r"(?<![\w.])/(?:[^\s:;,'\"/]+/)*([^\s:;,'\"/]*)", r"\1", str(text))

    def _known(self, store: ImageStore, paths: Sequence[str]) -> dict[str, str]:
        """Ids of those images of the store that the gallery has, wherever the store was when they were added."""
        gallery = self.gallery.current()
        found = {path: image_id(number, path) for path, number in gallery.find(paths).items()}
        if moved := {os.path.basename(path): path for path in paths if path not in found and store.owns(path)}:
            for path, number in gallery.called(list(moved)).items():
                found[moved[os.path.basename(path)]] = image_id(number, path)
        return found

    def _writable(self) -> ImageStore:
        if self.store is None:
            raise Refusal(403, "this gallery is read only here")
        return self.store

    @contextmanager
    def _changing(self, store: ImageStore) -> Iterator[None]:
        """One change at a time; after one that failed the files are those of the images the gallery has then."""
        with self._changes:
            try:
                yield
            except BaseException as error:
                with suppress(UserError, OSError):  # else settled with the next change that fails, or at the next start
                    store.settle(lambda names: self.gallery.current().called(names))
                if isinstance(error, BusyError):
                    raise Refusal(503, "another process is changing the gallery; try again later") from None
                full = isinstance(error, OSError) and error.errno in _FULL
                if full or (isinstance(error, UserError) and "is the disk full?" in str(error)):
                    _LOGGER.error("%s", describe_os_error(error) if isinstance(error, OSError) else error)
                    raise Refusal(507, "the server's disk is full; nothing was changed") from None
                raise
            finally:
                end_threads()

    def _search(self, searches: Sequence[Search]) -> list[RankedList]:
        try:
            return search_together(searches)
        finally:
            end_threads()  # the networks have a thread of their own, which keeps its threads

    def _extract(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(self.extractor(list(images)))


def _records(paths: Sequence[str], labels: Labels) -> list[ImageRecord]:
    """What is known of images that are added. Raises `Refusal` for a time that is none."""
    try:
        time = tidy_time(labels.time)
    except ValueError:
        raise Refusal(422, f"{printable(labels.time)!r} is not a time; write 2026-01-31T12:30:00") from None
    person, camera = tidy(labels.person), tidy(labels.camera)
    return records_of([LabelledImage(path, person, camera, "", time, "the request") for path in paths])[0]

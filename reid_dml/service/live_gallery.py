"""The gallery that is served: opened again when its files are replaced, changed by one request at a time."""

from __future__ import annotations

import copy
import glob
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from reid_dml.errors import UnavailableError, UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.validation import check_models
from reid_dml.search.engines import is_url, open_gallery
from reid_dml.search.index_folder import IndexSpec
from reid_dml.search.interface import AnyGallery, replaced

_UNKNOWN = object()


class LiveGallery:
    """One gallery for many threads. A request asks for `current()` once and sees one state of it, whatever happens.

    Args:
        open_gallery: opens it as it is now.
        state: something that differs after another process changed it.
        model: fingerprint of the networks; a gallery of others is refused.

    Raises:
        UserError: it cannot be opened, or its features are of other networks.
    """

    def __init__(self, open_gallery: Callable[[], AnyGallery], state: Callable[[], object], model: str) -> None:
        self._open, self._state = open_gallery, state
        self._checks: list[Callable[[IndexSpec], object]] = [
            lambda spec: check_models("the networks", model, str(self._place), spec.model, for_index=True)
        ]
        self._reading, self._changing = threading.Lock(), threading.Lock()
        self._seen: object = state()
        self._engine, self._refused = self._opened(), ""

    @staticmethod
    def of_place(place: str | os.PathLike[str], model: str, *, parameters: str = "") -> LiveGallery:
        """A gallery in a folder or a database; databases are always as they are now.

        Args:
            place: as for `search.open_gallery`.
            model: fingerprint of the networks.
            parameters: of searches in place of the gallery's own.
        """
        state = (lambda: None) if is_url(place) else (lambda: _manifest(place))
        return LiveGallery(lambda: open_gallery(place, parameters=parameters), state, model)

    @property
    def path(self) -> object:
        """What messages call it."""
        return self._engine.path

    def require(self, check: Callable[[IndexSpec], object]) -> None:
        """Have what the gallery is checked too, now and later. Raises the `UserError` that the check raises now."""
        check(self.current().spec)
        self._checks.append(check)

    def current(self) -> AnyGallery:
        """The gallery as it is now. Raises `UnavailableError` where what is there now cannot be served."""
        seen = self._state()
        if seen != self._seen:
            with self._reading:
                if seen != self._seen:
                    self._reopen(seen)
        if self._refused:
            raise UnavailableError(self._refused)
        return self._engine

    def add(self, features: FeatureSet) -> int:
        """Add images; they are there for good when it returns."""
        with self._changing:
            return self._change(lambda engine: engine.add(features))

    def remove(self, paths: Sequence[str]) -> int:
        """Remove the images of these paths, which are no patterns."""
        with self._changing:
            return self._change(lambda engine: engine.remove([_exactly(path) for path in paths]))

    def _change(self, change: Callable[[AnyGallery], int]) -> int:
        engine = copy.copy(self.current())  # requests that read the other one go on with it as it was
        count = change(engine)
        with self._reading:
            self._engine = engine
            self._seen = _UNKNOWN  # somebody else may have changed it too: looked at again by the next request
        return count

    def _reopen(self, seen: object) -> None:
        try:
            self._engine, self._refused = self._opened(), ""
        except UnavailableError:  # a database that does not answer now
            raise
        except UserError as error:
            self._refused = str(replaced(error))
        self._seen = seen

    def _opened(self) -> AnyGallery:
        engine = self._open()
        self._place = engine.path
        engine.watch(self._check)
        return engine

    def _check(self, spec: IndexSpec) -> None:
        for check in self._checks:
            check(spec)


def _exactly(path: str) -> str:
    return path if glob.escape(path) == path else glob.escape(path)


def _manifest(path: str | os.PathLike[str]) -> object:
    try:
        found = os.stat(Path(path) / "manifest.json")
    except OSError as error:
        return error.errno
    return found.st_ino, found.st_mtime_ns, found.st_size

"""Engines by the scheme of a place, those from outside included."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from reid_dml.errors import UserError
from reid_dml.search import engines


def test_an_engine_from_outside_keeps_the_galleries_of_its_scheme(monkeypatch):
    monkeypatch.setattr(engines, "_ENGINES", dict(engines._ENGINES))
    module = ModuleType("own_engine")
    module.open_gallery = lambda place, *, parameters="": (place, parameters)
    monkeypatch.setitem(sys.modules, "own_engine", module)
    engines.register_engine("own", "own_engine")
    engines.register_engine("own", "own_engine")
    assert engines.open_gallery("own://host/market", parameters="fast") == ("own://host/market", "fast")
    with pytest.raises(ValueError, match="postgresql:// is reid_dml"):
        engines.register_engine("postgresql", "own_engine")
    with pytest.raises(UserError, match=r"^wrong://me@host/x: no engine for wrong://; .* own://, postgres://"):
        engines.open_gallery("wrong://me:secret@host/x")

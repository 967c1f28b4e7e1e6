"""Names of files as text."""

from __future__ import annotations

import os

import numpy as np
import pytest

from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.features.formats import read_features, write_features
from reid_dml.files import write_text
from reid_dml.outputs import check_output
from reid_dml.search.gallery import Gallery
from reid_dml.text import from_utf8, printable, printable_lines, to_utf8

FOREIGN = os.fsdecode(b"caf\xe9.jpg")  # ISO-8859-1
NAMES = ["a.jpg", FOREIGN, "caf\u00e9.jpg", r"caf\xe9.jpg", r"\x5cxe9", r"\x41", os.fsdecode(b"\\x\xff\x80")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain \u00e9\u4e2d.jpg", "plain \u00e9\u4e2d.jpg"),
        (FOREIGN, r"caf\xe9.jpg"),
        ("\x1b]0;pwned\x07\x1b[2J\r\n.png", r"\x1b]0;pwned\x07\x1b[2J\x0d\x0a.png"),
        ("\x9b31m", r"\x9b31m"),
        ("gpj.\u202eexe", r"gpj.\u202eexe"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_text(text, shown):
    assert printable(text) == shown


def test_lines_stay_lines():
    assert printable_lines("a\nb\x1b\n") == "a\nb\\x1b\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_back_from_a_file_as_it_was(name):
    assert from_utf8(to_utf8(name).encode().decode()) == name


def test_different_names_stay_different():
    assert len(set(map(to_utf8, NAMES))) == len(NAMES)


@pytest.fixture
def features(rng):
    ids = np.arange(len(NAMES))
    return FeatureSet(rng.normal(size=(len(NAMES), 4)).astype(np.float32), ids, ids, np.array(NAMES))


@pytest.mark.parametrize("kind", ["npz", "parquet", "mat"])
def test_feature_files_hold_every_name(tmp_path, features, kind):
    write_features(features, tmp_path / f"a.{kind}")
    assert read_features(tmp_path / f"a.{kind}").paths.tolist() == NAMES


def test_an_index_holds_every_name(tmp_path, features):
    gallery = Gallery.build(tmp_path / "index", features)
    found = gallery.search(features, 1)
    assert [image.path for image in gallery.images(found.ids[:, 0])] == NAMES
    assert gallery.remove([FOREIGN]) == 1


def test_a_page_is_written_whatever_it_names(tmp_path):
    write_text(tmp_path / "a.html", f"<p>{FOREIGN}</p>")
    assert (tmp_path / "a.html").read_text() == r"<p>caf\xe9.jpg</p>"


def test_an_output_of_such_a_name_is_refused_before_any_work(tmp_path):
    with pytest.raises(UserError, match="is no UTF-8"):
        check_output(tmp_path / FOREIGN)


def test_commands_show_such_names_as_text(data_root, tmp_path, command, tiny_run):
    root = next(data_root.glob("synthetic-*"))
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, name in enumerate((FOREIGN, "\x1b[31mred\x1b[2J.png")):
        source = sorted((root / "query").glob("*.png"))[number]
        (folder / name).write_bytes(source.read_bytes())
    built = command("build_index", "--index", tmp_path / "index", "--images", folder, "--run", tiny_run)
    assert built.code == 0, built.err
    found = command("search_gallery", "--index", tmp_path / "index", "--query", folder, "--run", tiny_run, "--k", 2)
    assert found.code == 0, found.err
    assert "\x1b" not in found.out
    assert r"caf\xe9.jpg" in found.out
    (folder / "\x1b[31mbroken.png").write_bytes(b"x")
    again = command("build_index", "--index", tmp_path / "i2", "--images", folder, "--run", tiny_run)
    assert r"\x1b[31mbroken.png: image is corrupt" in again.error

"""Tables of images as people have them: read where the meaning is certain, else a line with file, row and remedy."""

from __future__ import annotations

import logging

import pytest

from reid_dml.data.tables import read_table
from reid_dml.errors import UserError

HEADER = "path,person_id,camera_id,split"
ROWS = ["img/1.jpg,0001,1,train", "img/é 2.jpg,0002,2,query"]


@pytest.fixture
def table(tmp_path):
    """A function that writes a table whose images are there, and reads it."""
    (tmp_path / "img").mkdir()
    for name in ("1.jpg", "é 2.jpg", "a;b.jpg"):
        (tmp_path / "img" / name).write_bytes(b"x")

    def make(data: str | bytes):
        path = tmp_path / "list.csv"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read_table(path)

    return make


def text(separator=",", header=HEADER, rows=ROWS, end="\n"):
    return end.join(line.replace(",", separator) for line in (header, *rows)) + end


@pytest.mark.parametrize(
    "data",
    [
        text().encode(),
        text().encode("utf-8-sig"),
        text().encode("utf-16"),
        text().encode("utf-16-le"),
        text().encode("utf-16-be"),
        text(end="\r\n").encode(),
        text(end="\r").encode(),
        text(";").encode(),
        text("\t").encode(),
        ("sep=;\n" + text(";")).encode(),
        text(header=" Path , Person ID,CAMERA-ID , Split").encode(),
        text(rows=[row.replace("/", "\\") for row in ROWS]).encode(),
        text(rows=[ROWS[0], "", ",,,", '"img/é 2.jpg", "0002" ,2,query,']).encode(),
        text(rows=["./img/1.jpg,0001,1,train", "img/e\u0301 2.jpg,0002,2,query"]).encode(),
    ],
    ids=lambda data: repr(data[:24]),
)
def test_one_table_in_many_writings(table, tmp_path, data):
    found = table(data)
    assert [(i.person, i.camera, i.split) for i in found.images] == [("0001", "1", "train"), ("0002", "2", "query")]
    assert [i.path for i in found.images] == [str(tmp_path / "img" / "1.jpg"), str(tmp_path / "img" / "é 2.jpg")]


def test_latin_1_is_read_and_said(table, tmp_path):
    with pytest.warns(UserWarning, match=r"list\.csv: line 3: not UTF-8, read as Latin-1"):
        found = table(text().encode("latin-1"))
    assert found.images[1].path == str(tmp_path / "img" / "é 2.jpg")


def test_other_delimiters_are_said(table, caplog):
    with caplog.at_level(logging.INFO):
        table(text(";"))
    assert "parted by semicolons" in caplog.text


def test_a_quoted_field_may_hold_the_delimiter(table):
    assert table(text(";", rows=['"img/a;b.jpg",1,1,train'])).images[0].path.endswith("a;b.jpg")


def test_times_and_columns_that_are_absent(table):
    found = table("image,time\nimg/1.jpg,2026-01-31 12:30\n")
    assert found.columns == {"path", "time"}
    assert (found.images[0].time, found.images[0].person) == ("2026-01-31T12:30:00", "")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (text(rows=[ROWS[0], ",2,2,query"]), ["line 3: path is empty", "remove the line"]),
        (text(rows=["gone\\1.jpg,1,1,train"]), ["line 2: gone\\1.jpg: image not found", "write paths with /"]),
        (text(rows=["a.jpg,1,1,train", "b.jpg,1,1,train"]), ["line 2: a.jpg: image not found (2 of 2"]),
        (text(rows=["img/1.JPG,1,1,train"]), ["line 2: img/1.JPG: image not found; the file there is called 1.jpg"]),
        (text(";", header="Pfad,b,c,d"), ["line 1: no column path, only Pfad, b, c, d; "]),
        (text(rows=["img,1,1,train"]), ["line 2: img: a folder where an image is expected"]),
        (text(rows=["img/1.jpg,1,1,train,more"]), ["line 2: 5 fields where the header names 4", "double quotes"]),
        (text(rows=['"img/1.jpg,1,1,train']), ["line 2: not a line of a CSV"]),
        (text(header="a,b,c,d"), ["line 1: no column path", "a header line path,person_id,camera_id,split"]),
        (text(header="path,person_id,person,split"), ["line 1: 'person_id' and 'person' both give the person_id"]),
        (text(rows=["img/1.jpg,#NV,1,train"]), ["line 2: person_id is '#NV', an error of the spreadsheet; mend"]),
        (text(rows=["img/1.jpg,1,#REF!,train"]), ["line 2: camera_id is '#REF!', an error of the spreadsheet"]),
        (text(";", rows=['img/1.jpg,"4.91577E+11",1,train']), ["line 2: person_id is '4.91577E+11', a long number"]),
        ("path,time\nimg/1.jpg,noon\n", ["line 2: time 'noon' is not ISO 8601"]),
        ("path,time\nimg/1.jpg,0001-01-01T00:00+14:00\n", ["line 2: time '0001-01-01T00:00+14:00' is not ISO 8601"]),
        (HEADER + "\n", ["names no images below its header"]),
        (b"PK\x03\x04....", ["a spreadsheet's own format", "save it there as CSV"]),
        (b"path\n\x01a\0\0b\n", ["not a CSV text file"]),
        ("x" * 200_000 + "\nimg/1.jpg,1,0\n", ["line 1: not a line of a CSV"]),
    ],
)
def test_what_cannot_be_read_is_named(table, data, words):
    with pytest.raises(UserError) as refusal:
        table(data)
    assert all(word in str(refusal.value) for word in ["list.csv", *words])

"""What is to be written does not take the place of what is there."""

from __future__ import annotations

import numpy as np
import pytest

from reid_dml.commands.index import build, feature_source
from reid_dml.commands.inputs import Inputs
from reid_dml.errors import UserError
from reid_dml.features.feature_set import FeatureSet
from reid_dml.files import LONGEST_NAME, write_json
from reid_dml.outputs import OutputFile, check_output, check_outputs


def test_no_file_of_a_run_is_written_over(tiny_run, tmp_path):
    written = [path for path in tiny_run.iterdir() if path.is_file() and path.suffix != ".html" and path.name[0] != "."]
    assert len(written) > 5
    for path in written:
        with pytest.raises(UserError, match=f"{path.name}: is a part of the run in .*; write to another file"):
            check_output(path)
    check_output(tiny_run / "another.json")
    (tmp_path / "result.json").touch()
    check_output(tmp_path / "result.json")  # of no run


def test_no_file_of_an_index_is_written_over(tmp_path):
    rows = np.eye(3, dtype=np.float32)
    FeatureSet(rows, np.arange(3), np.arange(3), np.array(["a", "b", "c"])).save(tmp_path / "rows.npz")
    build(tmp_path / "index", feature_source([tmp_path / "rows.npz"], Inputs()))
    written = [path for path in (tmp_path / "index").rglob("*") if path.is_file() and path.name[0] != "."]
    assert len(written) == 3
    for path in written:
        with pytest.raises(UserError, match=f"{path.name}: is a part of the index in .*; write to another file"):
            check_output(path)


def test_all_files_of_a_command_are_looked_at(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "a.npz")
    a, b = (OutputFile(tmp_path / name) for name in ("a.npz", "b.npz"))
    check_outputs({"json": a, "csv": b, "query": [str(tmp_path / "c.npz")], "k": 3, "options": ["SEED", "1"]})
    for given in ({"query": [str(a)]}, {"threshold": str(a)}, {"options": ["MODEL.WEIGHTS", str(tmp_path / "link")]}):
        with pytest.raises(UserError, match=r"a\.npz: is one of the inputs; write to another file"):
            check_outputs({"json": a, **given})
    with pytest.raises(UserError, match="is named for two files to write"):
        check_outputs({"json": a, "csv": OutputFile(tmp_path / "." / "a.npz")})


def test_a_name_that_leaves_no_room_for_its_draft_is_refused_before_the_work(tmp_path):
    longest = tmp_path / ("a" * (LONGEST_NAME - 5) + ".json")
    check_output(longest)
    write_json(longest, {})
    with pytest.raises(UserError, match=f"a file's name may have {LONGEST_NAME} bytes here; shorten it"):
        check_output(longest.with_name("b" + longest.name))

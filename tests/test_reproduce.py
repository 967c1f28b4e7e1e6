"""tools/reproduce.py as a reader of the papers uses it: all experiments at the smoke scale, the report, going on."""

from __future__ import annotations

import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import unquote

import cv2
import numpy as np
import pytest

from reid_dml.commands import reproduce, reproduce_jobs, reproduce_schedule
from reid_dml.commands.reproduce import run_experiments
from reid_dml.commands.reproduce_figures import draw_analysis
from reid_dml.config import load_config
from reid_dml.engine.checkpoints import Checkpoints
from reid_dml.errors import BusyError, UserError
from reid_dml.paper.artifacts import ARTIFACTS, GROUPS, experiments_of
from reid_dml.paper.pace import Pace
from reid_dml.paper.recipes import run_folder
from reid_dml.paper.records import Place, read_records, value
from tests.conftest import REPOSITORY

ALL = {name for group in GROUPS["all"] for name in experiments_of(ARTIFACTS[group], "smoke")}


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all experiments of the papers, run at the smoke scale by the command, two at a time."""
    folder = tmp_path_factory.mktemp("reproduce")
    words = ["run", "all", "--scale", "smoke", "--jobs", "2", "--keep", folder / "kept", *places(folder)]
    done = subprocess.run(
        [sys.executable, "tools/reproduce.py", *map(str, words), "DATA.ROOT", str(folder / "data"), "THREADS", "1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def places(folder: Path) -> list[object]:
    (folder / "none").mkdir(exist_ok=True)
    return ["--output", folder / "runs", "--records", folder / "none"]


def copy_run(everything: Path, folder: Path) -> None:
    """The run of this folder's name that was made in `everything`."""
    shutil.copytree(everything / "runs" / "smoke" / folder.name, folder, dirs_exist_ok=True)


def test_everything_runs_at_the_smoke_scale_and_nothing_twice(everything, command):
    records = read_records([everything / "kept"])
    assert {name for name, scale in records if scale == "smoke"} == ALL
    for name in ("fig4b", "fig5", "similarity"):
        assert list((everything / "kept" / "smoke" / "figures" / name).glob("*.csv"))
    before = {path: path.stat().st_mtime_ns for path in everything.rglob("result.json")}
    again = command(
        "reproduce",
        "run",
        "all",
        "--scale",
        "smoke",
        *places(everything),
        "DATA.ROOT",
        everything / "data",
        "THREADS",
        "1",
    )
    assert again.code == 0
    assert "===" not in again.out
    assert before == {path: path.stat().st_mtime_ns for path in everything.rglob("result.json")}


def test_the_report_shows_published_and_measured_side_by_side(everything, command, tmp_path):
    html, page = tmp_path / "report.html", tmp_path / "report.md"
    assert command("reproduce", "report", *places(everything), "--html", html, "--markdown", page).code == 0
    shown = page.read_text()
    records = read_records([everything / "runs"])
    (run,) = records["market_mobilenet_dml", "smoke"].values()
    measured = f"{value(run, 'mean', 'mAP trapezoid'):.2f}"
    block = shown[shown.index("| MobileNet + DML, from scratch |") :].split("\n")
    assert block[0].startswith("| MobileNet + DML, from scratch | CVPR | 54.71 | 79.12 |")
    assert block[2].startswith(f"|  | ours | {measured} |")
    assert block[3].startswith("|  | gain, CVPR | +4.56 | +2.25 |")
    for figure in ("fig3a", "fig4a", "fig6_market"):
        assert f"report/smoke_{figure}.svg" in shown
        assert (tmp_path / "report" / f"smoke_{figure}.svg").is_file()
        assert (tmp_path / "report" / f"smoke_{figure}.csv").read_text().count("\n") > 1
    whole = html.read_text()
    assert whole.count("<svg") >= 12
    assert "http://" not in whole.replace("http://www.w3.org", "").replace("http://purl.org", "")
    assert "src=" not in whole


def test_the_list_names_published_numbers_records_and_what_the_rest_takes(everything, command):
    words = ("reproduce", "list", "table3", "fig3a", "--scale", "smoke", "--seeds", "2", *places(everything))
    shown = command(*words, "THREADS", "1")
    assert "CVPR 54.71 79.12 64.1 85.63; v1 52.15 76.9 60.97 83.48" in shown.out
    assert "seeds 0" in shown.out
    assert "4 runs missing, about " in shown.out  # the second seed; timed by the first


@pytest.mark.parametrize("scale", ["full", "small", "smoke"])
def test_the_list_of_a_scale_names_every_table_and_figure(scale, command, tmp_path):
    shown = command("reproduce", "list", "--scale", scale, *places(tmp_path))
    assert shown.code == 0
    assert {line.split(":")[0] for line in shown.out.splitlines()} >= set(GROUPS["all"])


def test_a_run_that_was_cut_short_goes_on_with_the_same_command(command, monkeypatch, tmp_path):
    words = ["run", "market_mobilenet_dml", "--scale", "smoke", *places(tmp_path), "DATA.ROOT", tmp_path / "data"]
    words += ["THREADS", "1", "TRAIN.CHECKPOINT_INTERVAL", "1"]
    folder, save = tmp_path / "runs" / "smoke" / "market_mobilenet_dml_seed0", Checkpoints.save

    def save_and_die(self, step, members, state):
        save(self, step, members, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_die)
    assert command("reproduce", *words).code == 130
    assert not (folder / "result.json").exists()
    monkeypatch.setattr(Checkpoints, "save", save)
    again = command("reproduce", *words)
    assert again.code == 0
    assert "continues at step 1" in again.out
    assert json.loads((folder / "result.json").read_text())["steps"] == 2


def test_a_run_is_stopped_when_the_time_is_over(monkeypatch, tmp_path, capsys):
    # Training answers SIGTERM with a checkpoint and KeyboardInterrupt, which the command's handler raises here.
    monkeypatch.setattr(reproduce, "train_and_evaluate", lambda cfg, resume: time.sleep(60))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        place = Place(tmp_path / "runs", None, tmp_path / "known")
        assert run_experiments(["table5"], place, scale="smoke", minutes=0.01) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "the 1 s are over; run the command again to go on where it stopped" in capsys.readouterr().out


def test_only_what_fits_into_the_time_is_started(everything, monkeypatch, tmp_path, capsys):
    record = json.loads(next((everything / "runs").rglob("market_mobilenet_dml_seed0/result.json")).read_text())
    slow = record | {"wall_seconds": 3600.0, "seed": 5, "device": "slow"}
    known = tmp_path / "known" / "smoke"
    known.mkdir(parents=True)
    (known / "market_mobilenet_dml_seed5.json").write_text(json.dumps(slow))
    monkeypatch.setattr(reproduce, "train_and_evaluate", lambda cfg, resume: pytest.fail("was started"))
    monkeypatch.setattr(reproduce_jobs, "describe_device", lambda device: "slow")
    place = Place(tmp_path / "runs", None, tmp_path / "known")
    assert run_experiments(["market_mobilenet_independent"], place, scale="smoke", minutes=10) == 0
    assert "not run: market_mobilenet_independent, seed 0: does not fit into the time" in capsys.readouterr().out


def pretend(monkeypatch, everything, started, errors=None):
    """Let runs end at once, with the record and the weights that they had in `everything`, or in an error."""

    def train(cfg, resume):
        started.append(cfg.EXPERIMENT)
        if error := (errors or {}).get(cfg.EXPERIMENT):
            raise error
        folder = Path(cfg.OUTPUT_DIR)
        copy_run(everything, folder)

    monkeypatch.setattr(reproduce, "train_and_evaluate", train)


@pytest.mark.parametrize(
    "error", [UserError("no such data"), RuntimeError("CUDA out of memory: can't allocate memory")]
)
def test_one_run_that_fails_does_not_stop_the_others(everything, monkeypatch, tmp_path, capsys, error):
    started: list[str] = []
    pretend(monkeypatch, everything, started, {"market_mobilenet_independent": error})
    place = Place(tmp_path / "runs", None, tmp_path / "none")
    names = ["market_mobilenet_distilled", "market_mobilenet_entropy"]
    assert run_experiments(names, place, scale="smoke") == 2
    assert started == ["market_mobilenet_independent", "market_mobilenet_entropy"]
    said = capsys.readouterr().err
    assert "error: market_mobilenet_distilled, seed 0: " in said
    assert "the teacher is missing" in said
    assert "error: market_mobilenet_independent, seed 0: " in said
    assert str(error)[:5] in said or "out of memory" in said


def test_a_defect_of_the_code_is_not_taken_for_a_failed_run(everything, monkeypatch, tmp_path):
    pretend(monkeypatch, everything, [], {"market_mobilenet_entropy": RuntimeError("a defect")})
    with pytest.raises(RuntimeError, match="a defect"):
        run_experiments(["market_mobilenet_entropy"], Place(tmp_path, None, tmp_path / "none"), scale="smoke")


def test_what_another_process_works_on_is_waited_for_and_its_student_run(everything, monkeypatch, tmp_path):
    started: list[str] = []
    pretend(monkeypatch, everything, started)
    teacher, looks = tmp_path / "runs" / "smoke" / "market_mobilenet_independent_seed0", []
    train = reproduce.train_and_evaluate

    def busy(cfg, resume):
        if cfg.EXPERIMENT == "market_mobilenet_independent" and not teacher.is_dir():
            raise BusyError("another process trains in this folder")
        train(cfg, resume)

    def wait(seconds):
        looks.append(seconds)
        if len(looks) == 2:  # the other process has ended its run
            copy_run(everything, teacher)

    monkeypatch.setattr(reproduce, "train_and_evaluate", busy)
    monkeypatch.setattr(reproduce_schedule.time, "sleep", wait)
    place = Place(tmp_path / "runs", None, tmp_path / "none")
    assert run_experiments(["market_mobilenet_distilled"], place, scale="smoke") == 0
    assert "market_mobilenet_distilled" in started
    assert len(looks) == 2


def test_a_data_set_of_another_split_is_refused_before_the_run(monkeypatch, tmp_path, capsys):
    for split in ("train", "test"):
        for name in ("apple", "pear"):
            folder = tmp_path / "cifar100" / split / name
            folder.mkdir(parents=True)
            cv2.imwrite(str(folder / "0.png"), np.zeros((32, 32, 3), np.uint8))
    monkeypatch.setattr(reproduce, "train_and_evaluate", lambda cfg, resume: pytest.fail("was started"))
    place = Place(tmp_path / "runs", None, tmp_path / "none")
    options = ["DATA.ROOT", str(tmp_path)]
    assert run_experiments(["cifar100_resnet32_dml"], place, scale="small", overrides=options) == 2
    assert "holds cifar100 (unofficial split), not cifar100" in capsys.readouterr().err


def test_what_has_no_recipe_at_a_scale_is_said(command, tmp_path):
    asked = command("reproduce", "run", "fig2a", "--scale", "small", *places(tmp_path))
    assert asked.code == 2
    assert "fig2a: there is no recipe at the scale small" in asked.error
    listed = command("reproduce", "list", "fig2a", "--scale", "small", *places(tmp_path))
    assert listed.out.endswith("nothing can be run at this scale\n")


def test_a_figure_whose_numbers_are_not_there_counts_as_not_drawn(tmp_path):
    place = Place(tmp_path, None, tmp_path / "none")
    folder = place.figures("fig5", "smoke")[-1]
    folder.mkdir(parents=True)
    (folder / "tsne.svg").touch()
    assert place.drawn("fig5", "smoke") is None
    (folder / "tsne.csv").touch()
    assert place.drawn("fig5", "smoke") == folder


def test_a_figure_s_files_are_named_where_they_lie(monkeypatch, tmp_path, capsys):
    def draw(command, runs, folder, options):
        (folder / "flatness.csv").touch()
        print(folder / "flatness.csv")

    monkeypatch.setattr("reid_dml.commands.reproduce_figures._draw", draw)
    place = Place(tmp_path, None, tmp_path / "none")
    for name in experiments_of(ARTIFACTS["fig4b_market"], "smoke"):
        run_folder(tmp_path, name, "smoke", 0).mkdir(parents=True)
        (run_folder(tmp_path, name, "smoke", 0) / "result.json").touch()
    draw_analysis("fig4b_market", ARTIFACTS["fig4b_market"], place, "smoke", [])
    named = Path(capsys.readouterr().out.splitlines()[-1])
    assert named == place.figures("fig4b_market", "smoke")[-1] / "flatness.csv"
    assert named.is_file()


def test_what_was_run_earlier_is_kept_too(everything, tmp_path):
    place = Place(everything / "runs", tmp_path / "kept", tmp_path / "none")
    assert run_experiments(["market_mobilenet_dml", "fig5"], place, scale="smoke") == 0
    assert (tmp_path / "kept" / "smoke" / "market_mobilenet_dml_seed0.json").is_file()
    assert (tmp_path / "kept" / "smoke" / "figures" / "fig5" / "tsne.svg").is_file()
    assert not (tmp_path / "kept" / "smoke" / "figures" / "fig5" / "tsne.html").exists()  # it holds images


def test_a_folder_for_copies_that_cannot_be_written_is_refused_before_any_run(command, monkeypatch, tmp_path):
    monkeypatch.setattr(reproduce, "train_and_evaluate", lambda cfg, resume: pytest.fail("was started"))
    (tmp_path / "file").touch()
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("was started"))
    words = ("run", "table5", "--scale", "smoke", "--keep", tmp_path / "file", *places(tmp_path))
    for jobs in (1, 2):
        result = command("reproduce", *words, "--jobs", jobs)
        assert result.code == 2
        assert f"--keep {tmp_path / 'file'}: cannot be written in" in result.error


@pytest.mark.parametrize("ends_well", [False, True])
def test_copies_that_fail_cost_no_run_and_are_said_at_the_end(monkeypatch, tmp_path, capsys, ends_well):
    started, kept = list[str](), tmp_path / "kept"

    def train(cfg, resume):
        started.append(cfg.EXPERIMENT)
        Path(cfg.OUTPUT_DIR).mkdir(parents=True)
        (Path(cfg.OUTPUT_DIR) / "result.json").touch()
        kept.touch()  # where the folder would go
        if ends_well and len(started) == 2:
            kept.unlink()

    monkeypatch.setattr(reproduce, "train_and_evaluate", train)
    place = Place(tmp_path / "runs", kept, tmp_path / "none")
    names = ["market_mobilenet_independent", "market_mobilenet_dml"]
    assert run_experiments(names, place, scale="smoke") == (0 if ends_well else 2)
    assert started == names
    said = capsys.readouterr().err
    assert f"error: {kept}" in said  # at once
    assert (f"error: --keep {kept}: {kept}" in said) is not ends_well
    assert not any(name in said.replace(str(kept), "") for name in names)
    assert len(list(kept.glob("smoke/*_seed0.json"))) == (2 if ends_well else 0)


def test_a_run_that_was_begun_is_continued_however_little_time_is_left(everything, monkeypatch, tmp_path):
    started: list[str] = []
    pretend(monkeypatch, everything, started)
    monkeypatch.setattr(reproduce_schedule, "training_seconds", lambda cfg, records, scale: 3600.0)
    begun = tmp_path / "runs" / "smoke" / "market_mobilenet_dml_seed0"
    copy_run(everything, begun)
    (begun / "result.json").unlink()
    place = Place(tmp_path / "runs", None, tmp_path / "none")
    names = ["market_mobilenet_independent", "market_mobilenet_dml"]
    assert run_experiments(names, place, scale="smoke", minutes=10) == 0
    assert started == ["market_mobilenet_dml"]


def test_a_config_that_is_printed_makes_the_run_that_counts(command, tmp_path):
    words = ("reproduce", "config", "market_mobilenet_dml_k4", "--scale", "small", "--seed", "2", *places(tmp_path))
    (tmp_path / "printed.yml").write_text(command(*words).out)
    cfg = load_config(tmp_path / "printed.yml")
    assert cfg.COHORT.NETWORKS == ["mobilenet_v1"] * 4
    assert (cfg.SEED, cfg.SCALE) == (2, "small")
    assert str(tmp_path / "runs" / "small" / "market_mobilenet_dml_k4_seed2") == cfg.OUTPUT_DIR


def test_pace_knows_what_was_timed_and_estimates_others_by_their_operations():
    record = {"device": "a", "scale": "small", "steps": 10, "wall_seconds": 40.0, "networks": ["mobilenet_v1"] * 2}
    record["dataset"] = "market1501"
    others = [record | {"wall_seconds": 1.0} | other for other in ({"device": "b"}, {"dataset": "cifar100"})]
    pace = Pace([record, *others], "a", "small", "market1501")
    assert pace.seconds(["mobilenet_v1"] * 3, 100, (128, 64)) == pytest.approx(600)
    half = pace.seconds(["mobilenet_v1_0.5"], 100, (128, 64))
    assert 200 / 6 < half < 200 / 2  # between a quarter and a half of the operations
    assert Pace([record], "c", "small", "market1501").seconds(["mobilenet_v1"], 1, (128, 64)) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run", "tabel3"), "no table, figure or experiment is called 'tabel3': there are table1, table3, "),
        (("run", "table3", "--seeds", "0"), "--seeds 0: must be at least 1"),
        (("run", "table3", "--minutes", "-1"), "--minutes -1.0: must be a finite number that is not negative"),
        (("run", "table3", "TRAIN.STEP", "5"), "unknown option TRAIN.STEP; did you mean TRAIN.STEPS?"),
        (
            ("run", "table3", "TRAIN.STEPS", "5"),
            "TRAIN.STEPS: cannot be changed here, only where and how a run works",
        ),
        (("run", "table3", "--job", "2"), "unrecognized arguments: --job"),
        (("report", "market_mobilenet_dml", "--html", "x.html"), "no table or figure, but experiments"),
        (("report", "table3", "--html", "x.html", "SEED", "1"), "report: takes no options such as SEED"),
        (("report",), "report: give --html FILE, --markdown FILE or both"),
        (("config", "table3"), "table3: is made of several runs; name one of market_mobilenet_independent"),
        (("config", "table1"), "table1: nothing is run for it; see tools/reproduce.py report table1"),
        (
            ("run", "DATA.ROOT", "/data"),
            "run: no name before DATA.ROOT; give one that tools/reproduce.py list shows, or all",
        ),
        (("config", "imagenet_mobilenet_inception_dml", "--scale", "small"), "no recipe at the scale small"),
    ],
)
def test_refusals(everything, command, tmp_path, words, expected):
    copy_run(everything, tmp_path / "runs" / "smoke" / "market_mobilenet_dml_seed0")
    result = command("reproduce", *words, *places(tmp_path))
    assert result.code == 2
    assert expected in result.err


@pytest.mark.parametrize("names", [[], ["table1", "table3"]])
def test_a_report_without_records_is_refused(command, tmp_path, names):
    html = tmp_path / "report.html"
    result = command("reproduce", "report", *names, *places(tmp_path), "--html", html)
    assert "hold no record of a run; start with tools/reproduce.py run" in result.error
    assert not html.exists()


def test_table_1_is_reported_without_any_run(command, tmp_path):
    html, page = tmp_path / "report.html", tmp_path / "report.md"
    words = ("--html", html, "--markdown", page)
    assert command("reproduce", "report", "table1", *places(tmp_path), *words).code == 0
    assert "| mobilenet_v1_cifar | 3.3M | 3,309,476 |" in page.read_text()
    assert "<td>3,309,476</td>" in html.read_text()


def test_the_figures_of_a_page_with_a_space_in_its_name_are_found(command, tmp_path):
    page = tmp_path / "my (own) report.md"
    words = ("--output", tmp_path / "runs", "--records", REPOSITORY / "results" / "paper", "--markdown", page)
    assert command("reproduce", "report", "fig4a_market", *words).code == 0
    (link,) = re.findall(r"!\[[^]]*\]\((\S+)\)\n", page.read_text())
    assert "(" not in link  # which not every reader of Markdown takes
    assert (tmp_path / unquote(link)).is_file()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"metrics": {}}, "not a run record"),
        ({"metrics": {"networks": {"0": 1}}}, "not a run record"),
        ({"metrics": {"networks": [{"single_query": {"mAP": math.nan}}] * 2}}, "not a run record"),
        ({"metrics": {"networks": [{"single_query": {"mAP": True}}] * 2}}, "not a run record"),
        ({"versions": None}, "not a run record"),
        ({"wall_seconds": None}, "not a run record"),
        ({"curves": {"loss": {"steps": [1, 2], "networks": [[1.0], [1.0]]}}}, "not a run record"),
        ({"curves": {"loss": {"steps": [1], "networks": [[1.0], [1.0], [1.0]]}}}, "not a run record"),
        (
            {"scale": "full"},
            "is the record of market_mobilenet_dml at the scale full, seed 0; move it to where it belongs",
        ),
        ({"seed": 3}, "at the scale smoke, seed 3; move it"),
        ({"experiment": "x"}, "is the record of x, and there is no experiment of that name; move it away"),
        ({"steps": 7}, "is not of the recipe of market_mobilenet_dml at the scale smoke: its steps is 7, not 2"),
        ({"dataset": "market1501"}, "its dataset is market1501, not synthetic"),
        ({"networks": ["resnet50"] * 2}, "its networks is ['resnet50', 'resnet50'], not"),
        ({"networks": ["resnet50"]}, "not a run record"),  # but two of them are measured
        ({"update": "sequential"}, "its update is sequential, not simultaneous"),
    ],
)
def test_a_record_that_is_damaged_or_of_something_else_is_refused(everything, command, tmp_path, change, expected):
    name = "market_mobilenet_dml_seed0"
    record = json.loads((everything / "runs" / "smoke" / name / "result.json").read_text()) | change
    folder = tmp_path / "runs" / "smoke" / name
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(record))
    result = command("reproduce", "report", "--html", tmp_path / "x.html", *places(tmp_path))
    assert result.code == 2
    assert f"{folder / 'result.json'}: " in result.error
    assert expected in result.error
    assert (folder / "result.json").read_text() == json.dumps(record)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda ensembles: ensembles.pop("4"), "lacks the ensembles of 4 networks; move it away"),
        (lambda ensembles: ensembles.update(four=ensembles.pop("4")), "not a run record"),
        (lambda ensembles: ensembles["3"]["single_query"].update(mAP="high"), "not a run record"),
    ],
)
def test_a_record_without_the_ensembles_of_its_figure_is_refused(everything, command, tmp_path, change, expected):
    name = "market_mobilenet_independent_k5_seed0"
    record = json.loads((everything / "runs" / "smoke" / name / "result.json").read_text())
    change(record["metrics"]["ensembles"])
    folder = tmp_path / "runs" / "smoke" / name
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(record))
    assert expected in command("reproduce", "report", "--html", tmp_path / "x.html", *places(tmp_path)).error


@pytest.mark.parametrize("name", ["run", "list"])
def test_no_command_takes_a_foreign_run_for_its_own(everything, command, tmp_path, name):
    folder = tmp_path / "runs" / "smoke" / "market_mobilenet_dml_seed0"
    copy_run(everything, folder)
    record = json.loads((folder / "result.json").read_text()) | {"steps": 7}
    (folder / "result.json").write_text(json.dumps(record))
    result = command("reproduce", name, "table3", "--scale", "smoke", *places(tmp_path))
    assert result.code == 2
    assert "is not of the recipe of market_mobilenet_dml" in result.error


@pytest.mark.parametrize(("visible", "expected"), [("", ["0", "1", "0"]), ("5,7", ["5", "7", "5"])])
def test_processes_side_by_side_take_a_gpu_each_and_one_that_was_killed_counts(monkeypatch, visible, expected):
    started = []

    class Process:
        def __init__(self, words, env):
            started.append((words[1:], env.get("CUDA_VISIBLE_DEVICES")))

        def wait(self):
            return -9

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(reproduce_schedule.torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(reproduce_schedule.subprocess, "Popen", Process)
    assert reproduce_schedule.run_side_by_side(["tools/reproduce.py", "run", "table3", "--jobs", "3"], 3) == 1
    assert [gpu for _, gpu in started] == expected
    assert started[0][0][-2:] == ["--jobs", "1"]  # the last one counts

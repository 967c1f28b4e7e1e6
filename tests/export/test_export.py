"""Exported files: the same features in every format and batch size, or no file; and what is refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import sys
import warnings
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from reid_dml import FeatureExtractor
from reid_dml.config import load_config
from reid_dml.data.pipeline.augment import AugmentSpec, augment
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError
from reid_dml.export.graph import FeatureGraph
from reid_dml.export.parity import Parity
from reid_dml.features.feature_set import FeatureSet
from reid_dml.models.exported import ABOUT, open_exported, read_about
from reid_dml.ranking.metrics import RankingMetrics

NEEDS = {".pt2": (), ".onnx": ("onnxruntime", "onnx", "onnxscript"), ".xml": ("openvino", "onnx", "onnxscript")}
MODEL, CAT = "models/model.json", b'"torch.ops.aten.cat.default"'  # the graph of a program, and what it calls


@pytest.fixture(scope="module", autouse=True)
def _short_timing():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reid_dml.commands.export._SECONDS", 0.02)
        yield


@pytest.fixture(scope="module")
def paths(tiny_config):
    return [record.path for record in load_data(load_config(tiny_config)).query]


@pytest.fixture(scope="module", params=NEEDS)
def exported(request, tiny_run, tmp_path_factory):
    """The tiny run's ensemble as one file, by the command, and what this printed."""
    for package in NEEDS[request.param]:
        pytest.importorskip(package)
    from reid_dml.commands.export import export_and_print
    from reid_dml.runs.sources import run_config

    path = tmp_path_factory.mktemp("exported") / f"model{request.param}"
    parity = export_and_print(run_config(tiny_run, ["THREADS", "1"]), path, data="own")
    return path, parity


@pytest.fixture(scope="module")
def printed() -> io.StringIO:
    """What the command printed about `program`."""
    return io.StringIO()


@pytest.fixture(scope="module")
def program(tiny_run, tmp_path_factory, printed):
    """The tiny run's network 1 as a program of torch.export, compared on drawn images; it needs no further package."""
    from reid_dml.commands.export import export_and_print
    from reid_dml.runs.sources import run_config

    path = tmp_path_factory.mktemp("program") / "model.pt2"
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(path.parent)
        export_and_print(run_config(tiny_run, ["THREADS", "1"]), path, network="1", normalisation="outside")
    return path


def test_it_gives_the_features_of_the_networks(exported, tiny_run, paths):
    path, parity = exported
    assert list(parity.cosine) == [1, 3, 16]
    ours, theirs = (FeatureExtractor.from_run(each, device="cpu") for each in (tiny_run, path))
    np.testing.assert_allclose(theirs(paths), ours(paths), atol=2e-6)
    assert theirs.model == ours.model  # features of one may be searched with the other
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []


def test_it_says_what_it_is(exported, tiny_run):
    path, _ = exported
    about = read_about(path)
    assert set(ABOUT) <= set(about)
    assert (about["height"], about["width"], about["feature_width"]) == ("32", "16", "512")
    assert (about["colour"], about["normalisation"], about["precision"]) == ("RGB", "inside", "float32")
    assert about["networks"] == "mobilenet_v1_0.25 mobilenet_v1_0.25"
    assert about["fingerprint"] == FeatureExtractor.from_run(tiny_run, device="cpu").model
    assert str(tiny_run.parent) not in about["config"]


def test_tests_name_all_the_networks_of_a_file(command, exported, tiny_config):
    config = ("--run", exported[0], "DATA.ROOT", load_config(tiny_config).DATA.ROOT, "TEST.TRAIN_ACCURACY", "False")
    for options in ((), ("DATA.TEST", "[synthetic]")):
        result = command("test_net", *config, *options)
        assert result.code == 0, result.err
        assert "network 0 (mobilenet_v1_0.25 mobilenet_v1_0.25)" in result.out


def test_other_runtimes_take_rgb_values_in_0_to_1(exported, tiny_run, paths):
    """As Ultralytics feeds them; without a line of ours between the file and its runtime."""
    path, _ = exported
    extract = FeatureExtractor.from_run(tiny_run, device="cpu")
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 16, 3), dtype=np.uint8)
    values = (images.transpose(0, 3, 1, 2) / 255).astype(np.float32)
    if path.suffix == ".onnx":
        import onnxruntime

        found = onnxruntime.InferenceSession(str(path)).run(["features"], {"images": values})[0]
    elif path.suffix == ".xml":
        import openvino

        # On some processors OpenVINO computes in bfloat16 unless it is told otherwise.
        found = openvino.compile_model(str(path), config={"INFERENCE_PRECISION_HINT": "f32"})(values)[0]
    else:
        found = torch.export.load(path).module()(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(found, extract(list(images)), atol=2e-5)


@pytest.mark.parametrize("exported", [".onnx"], indirect=True)
def test_ultralytics_finds_in_a_file_what_it_asks_for(exported):
    """What its encoder `trackers.utils.reid.ReID` reads (8.4.190): a free batch, a fixed size, features alone."""
    path, _ = exported
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path))
    (images,), (features,) = session.get_inputs(), session.get_outputs()
    assert (type(images.shape[0]), images.shape[1:], images.type) == (str, [3, 32, 16], "tensor(float)")
    assert (type(features.shape[0]), len(features.shape)) == (str, 2)
    # It takes these of the file's metadata for its own, and every entry as an attribute of its backend.
    theirs = {"stride", "batch", "channels", "imgsz", "names", "kpt_shape", "kpt_names", "args", "end2end", "dynamic"}
    about = session.get_modelmeta().custom_metadata_map
    assert not {*theirs, "session", "output_names", "fp16", "device", "format", "use_io_binding"} & about.keys()


@pytest.mark.parametrize("exported", [".onnx"], indirect=True)
def test_ultralytics_itself_takes_an_exported_file(exported, tmp_path, monkeypatch):
    pytest.importorskip("ultralytics")
    path, _ = exported
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    from ultralytics.trackers.utils.reid import ReID

    encoder = ReID(str(path), device="cpu")
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    boxes = np.array([[30, 30, 10, 20], [20, 40, 12, 24]], np.float32)  # centre and size
    crops = [np.ascontiguousarray(crop[..., ::-1]) for crop in encoder._crop_detections(frame, boxes)]
    resized = [cv2.resize(crop, (16, 32), interpolation=cv2.INTER_LINEAR) for crop in crops]
    expected = FeatureExtractor.from_run(path, device="cpu")(resized)
    assert ((np.stack(encoder(frame, boxes)) * expected).sum(1) > 0.999).all()


def test_a_damaged_file_is_refused(exported, tmp_path):
    path, _ = exported
    for file in path.parent.iterdir():
        shutil.copy(file, tmp_path / file.name)
    content = bytearray((tmp_path / path.name).read_bytes())
    place = content.find(b"0.00") if path.suffix == ".xml" else len(content) // 2
    content[place] ^= 1
    (tmp_path / path.name).write_bytes(content)
    with pytest.raises(UserError, match=r"damaged, or exchanged|is no whole|is no ONNX"):
        open_exported(tmp_path / path.name)


def test_features_without_normalisation_inside(program, tiny_run, paths):
    about = read_about(program)
    assert (about["normalisation"], about["indices"], about["feature_width"]) == ("outside", "1", "256")
    ours, theirs = (
        FeatureExtractor.from_run(tiny_run, 1, device="cpu"),
        FeatureExtractor.from_run(program, device="cpu"),
    )
    assert theirs.model == ours.model
    np.testing.assert_allclose(theirs(paths), ours(paths), atol=2e-6)


def test_mirror_images_and_the_ensemble_are_part_of_the_graph(tiny_run, paths):
    for how in ("normalized", "raw"):
        options = ["MODEL.WEIGHTS", str(tiny_run), "TEST.FLIP", "True", "TEST.ENSEMBLE", how, "DEVICE", "cpu"]
        cfg = load_config(tiny_run / "config.yml", options, version=0)
        extract = FeatureExtractor.from_config(cfg)
        graph = FeatureGraph(extract.networks, ensemble=how, flip=True, mean=cfg.INPUT.MEAN, std=cfg.INPUT.STD)
        images = torch.randint(0, 256, (4, 3, 32, 16), dtype=torch.uint8)
        with torch.no_grad():
            found = graph(augment(images, None, AugmentSpec((32, 16), (0, 0, 0), (1, 1, 1))))
        expected = extract([image.permute(1, 2, 0).numpy() for image in images])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_commands_run_it(command, program, tiny_run, paths, tmp_path):
    first, second = (str(path) for path in paths[:2])
    assert command("extract_features", "--run", program, "--images", first, "--output", tmp_path / "f.npz").code == 0
    found = FeatureSet.load(tmp_path / "f.npz")
    assert command("build_index", "--index", tmp_path / "i", "--features", tmp_path / "f.npz").code == 0
    # An index of the networks is searched with the file, and the other way round.
    search = ("search_gallery", "--index", tmp_path / "i", "--query", second, "--run")
    assert command(*search, program).code == 0
    assert command(*search, tiny_run, "--network", 1).code == 0
    assert command("verify", first, second, "--run", program).code == 0
    result = command("test_net", "--run", program, "DATA.ROOT", Path(first).parents[2], "--json", tmp_path / "m.json")
    assert result.code == 0, result.err
    ours = json.loads((tiny_run / "result.json").read_text())["metrics"]["networks"][1]
    theirs = json.loads((tmp_path / "m.json").read_text())["networks"][0]
    assert theirs["single_query"]["mAP"] == pytest.approx(ours["single_query"]["mAP"], abs=1e-6)
    assert found.model == FeatureExtractor.from_run(tiny_run, 1).model


def test_what_was_compared_and_measured_is_printed(program, printed):
    assert "in batches of 1, " in printed.getvalue()
    assert hashlib.sha256(program.read_bytes()).hexdigest() in printed.getvalue()
    assert "torch (float32): " in printed.getvalue()
    assert "torch.export (float32): " in printed.getvalue()
    assert "RGB / 255 - mean" in printed.getvalue()


@pytest.mark.parametrize(
    ("cosine", "rank_1", "words"),
    [
        (0.99991, 0.5, ""),
        (0.99989, 0.5, "its features are not those of the networks"),
        (float("nan"), 0.5, "its features are not those of the networks"),
        (1.0, 0.49, r"its rank-1 is 49.00 %, that of the networks 50.00 %"),
    ],
)
def test_what_passes(cosine, rank_1, words):
    ours, theirs = (RankingMetrics({"mAP": 0.5}, np.array([value, 1.0]), 100, 0) for value in (0.5, rank_1))
    parity = Parity({1: 1.0, 3: cosine, 16: 1.0}, 10, ours, theirs)
    with pytest.raises(UserError, match=words) if words else contextlib.nullcontext():
        parity.check("m.onnx")


def test_int8_may_lose_so_much():
    ours, theirs = (RankingMetrics({"mAP": value}, np.array([0.5]), 100, 0) for value in (0.5, 0.48))
    parity = Parity({16: 0.99}, 10, ours, theirs)
    parity.check_loss("m.onnx", 2.1)
    with pytest.raises(UserError, match=r"m.onnx: not written: int8 loses 2.00 points of mAP, more than 1.9"):
        parity.check_loss("m.onnx", 1.9)


def test_int8_costs_what_it_says(command, tiny_run, paths, tmp_path):
    for package in NEEDS[".onnx"]:
        pytest.importorskip(package)
    export = (
        "export_model",
        "--run",
        tiny_run,
        "--network",
        0,
        "--data",
        "own",
        "--int8",
        "--output",
        tmp_path / "i.onnx",
    )
    result = command(*export, "--most-loss", 100, "--calibration-images", 8)
    assert result.code == 0, result.err
    assert "points of mAP lost" in result.out
    about, source = read_about(tmp_path / "i.onnx"), FeatureExtractor.from_run(tiny_run, 0, device="cpu")
    assert about["precision"] == "int8"
    theirs = FeatureExtractor.from_run(tmp_path / "i.onnx", device="cpu")
    assert theirs.model == about["fingerprint"] != source.model  # others may not be compared with them
    assert (theirs(paths) * source(paths)).sum(1).min() > 0.9


def test_int8_is_calibrated_on_images_evenly_spread_over_all(command, tiny_run, tmp_path, monkeypatch):
    for package in NEEDS[".onnx"]:
        pytest.importorskip(package)
    (tmp_path / "photos").mkdir()
    for number in range(15):
        cv2.imwrite(str(tmp_path / "photos" / f"{number:02d}.png"), np.full((32, 16, 3), number, np.uint8))

    def stop(_file, records, *_):
        raise UserError(",".join(Path(record.path).stem for record in records))

    monkeypatch.setattr("reid_dml.commands.export.quantise", stop)
    result = command(
        *("export_model", "--run", tiny_run, "--network", 0, "--data", "own", "--output", tmp_path / "i.onnx"),
        *("--int8", "--calibration", tmp_path / "photos", "--calibration-images", 8),
    )
    assert "00,02,04,06,08,10,12,14" in result.error


class TestRefusals:
    """One line, exit code 2, no file."""

    @pytest.fixture(autouse=True)
    def _whoever_changed_a_file_changed_its_digest(self, monkeypatch):
        monkeypatch.setenv("REID_DML_VERIFY", "0")

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--output", "m.tflite"], "m.tflite: exported files end in .onnx, .pt2, .xml"),
            (["--output", "m.pt2", "--int8"], "int8 is for ONNX Runtime"),
            (["--output", "m.pt2", "--network", "7"], "network '7' is neither `ensemble` nor one of 0, 1"),
            (["--output", "m.pt2", "--most-loss", "1"], "are for --int8"),
            (["--output", "m.onnx", "--int8", "--most-loss", "-1"], "--most-loss -1.0: must be a number of at least 0"),
            (["--output", "m.onnx", "--int8", "--most-loss", "nan"], "--most-loss nan: must be a number of at least 0"),
            (["--output", "."], ".: is a folder; name a file to write"),
        ],
    )
    def test_bad_input(self, command, tiny_run, tmp_path, monkeypatch, arguments, words):
        monkeypatch.chdir(tmp_path)
        assert words in command("export_model", "--run", tiny_run, *arguments).error
        assert list(tmp_path.iterdir()) == []

    def test_calibration_on_what_is_no_image(self, command, tiny_run, tmp_path):
        pytest.importorskip("onnxruntime")
        (tmp_path / "q.npz").write_bytes(b"features")
        ask = ("export_model", "--run", tiny_run, "--output", tmp_path / "m.onnx", "--int8", "--calibration")
        assert "q.npz: is no image, folder, video or table of images" in command(*ask, tmp_path / "q.npz").error
        assert [entry.name for entry in tmp_path.iterdir()] == ["q.npz"]

    def test_other_features(self, command, tiny_run, tmp_path, monkeypatch):
        usual = FeatureGraph.forward

        def other(self, images):
            features = usual(self, images)
            return features + 0.1 * torch.sin(1000 * features.cumsum(1)) * features.abs().mean()

        before = tmp_path / "m.pt2"
        before.write_bytes(b"of before")
        monkeypatch.setattr(FeatureGraph, "forward", other)
        result = command("export_model", "--run", tiny_run, "--network", 0, "--output", before, "--data", "own")
        assert "not written: in batches of " in result.error
        assert before.read_bytes() == b"of before"
        assert [entry.name for entry in tmp_path.iterdir()] == ["m.pt2"]

    def test_an_exported_file_again(self, command, program, tmp_path):
        again = command("export_model", "--run", program, "--output", tmp_path / "n.pt2")
        assert "is exported already" in again.error
        assert "is an exported file" in command("save_model", "--run", program, "--to", tmp_path / "m").error

    def test_other_inputs_than_its_own(self, command, program, tiny_config, paths, tmp_path):
        config = ("--config-file", tiny_config, "MODEL.WEIGHTS", program, "INPUT.MEAN", "[0.4, 0.5, 0.5]")
        result = command("extract_features", *config, "--images", paths[0], "--output", tmp_path / "f.npz")
        assert "takes images as it was exported, with INPUT.MEAN [0.5, 0.5, 0.5]" in result.error

    def test_a_runtime_that_is_not_installed(self, command, tiny_run, tmp_path, monkeypatch):
        for package in ("onnxruntime", "openvino"):
            monkeypatch.setitem(sys.modules, package, None)
        for name, words in (
            ("m.onnx", "needs the package onnxruntime, which is not installed"),
            ("m.xml", "needs the package openvino, which is not installed"),
        ):
            assert words in command("export_model", "--run", tiny_run, "--output", tmp_path / name).error
        assert list(tmp_path.iterdir()) == []

    def test_files_of_somebody_else(self, program, tmp_path):
        (tmp_path / "a.pt2").write_bytes(b"not a zip")
        with pytest.raises(UserError, match=r"a.pt2: is no whole .pt2 file"):
            read_about(tmp_path / "a.pt2")
        with zipfile.ZipFile(tmp_path / "b.pt2", "w") as archive:
            archive.writestr("model/version", "3")
        with pytest.raises(UserError, match=r"b.pt2: is no file of reid-dml export"):
            read_about(tmp_path / "b.pt2")

    @pytest.mark.parametrize(
        ("name", "change", "words"),
        [
            ("data/sample_inputs/model.pt", lambda _: pickled(((Path("x"),), {})), "has parts that cannot be checked"),
            ("data/weights/model_weights_config.json", lambda old: pickling(old), "holds pickled weights"),
            ("data/constants/model_constants_config.json", lambda _: b"[]", "has parts that cannot be checked"),
            ("data/aotinductor/model/model.so", lambda _: b"", "holds 'data/aotinductor/model/model.so'"),
            (MODEL, lambda old: old.replace(CAT, b'"torch.hub.load"'), r"its program says target 'torch\.hub\.load'"),
            (MODEL, lambda old: old.replace(CAT, b'"torch.ops.aten.__dir__"'), "its program says target"),
            (MODEL, lambda old: old.replace(b"Symbol('", b"Symbol.__init__('"), "its program says expr_str"),
            (MODEL, lambda old: old.replace(b"builtins.dict", b"collections.defaultdict"), "its program says in_spec"),
        ],
    )
    def test_a_program_that_could_run_code(self, program, tmp_path, name, change, words):
        """torch.export.load would unpickle, load, call, evaluate or import it."""
        bad = changed(program, tmp_path, name, change)
        with pytest.raises(UserError, match=f"bad.pt2: {words}.*; it is not opened, because that could run code"):
            open_exported(bad)

    @pytest.mark.parametrize("turn", [1, -1])
    def test_entries_of_one_name(self, program, tmp_path, turn):
        """torch takes another of them than zipfile."""
        name = "data/weights/model_weights_config.json"
        bad = changed(program, tmp_path, name, *[*[pickling] * 8, lambda old: old][::turn])
        with pytest.raises(UserError, match=r"bad.pt2: holds entries twice; it is not opened"):
            open_exported(bad)

    def test_entries_of_two_folders(self, program, tmp_path):
        bad = changed(program, tmp_path, "byteorder", lambda old: old)
        with zipfile.ZipFile(bad, "a") as archive:
            archive.writestr("other/byteorder", b"little")
        with pytest.raises(UserError, match=r"bad.pt2: holds several folders; it is not opened"):
            open_exported(bad)

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("archive_version", lambda _: b"99"),
            (MODEL, lambda old: old.replace(CAT, b'"torch.ops.aten.conv2d.default"')),
        ],
    )
    def test_a_program_that_torch_cannot_open(self, program, tmp_path, name, change, caplog):
        with pytest.raises(UserError, match=r"bad.pt2: torch .* cannot open it \(.*\); export it again"):
            open_exported(changed(program, tmp_path, name, change))
        assert caplog.text == ""


def pickled(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def pickling(config: bytes) -> bytes:
    return config.replace(b'"use_pickle": false', b'"use_pickle": true')


def changed(program, folder, name, *changes):
    """A copy of a program with other entries of this name: what each change makes of the one that is there."""
    with zipfile.ZipFile(program) as old, zipfile.ZipFile(folder / "bad.pt2", "w") as new, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of names that are there
        entries = {entry.partition("/")[2]: old.read(entry) for entry in old.namelist()}
        for entry, content in ({name: b""} | entries).items():
            for change in changes if entry == name else [lambda same: same]:
                new.writestr(f"model/{entry}", change(content))
    return folder / "bad.pt2"

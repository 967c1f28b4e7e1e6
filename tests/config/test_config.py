"""Options: inheritance, overrides, and refusals that name the key, the file and the nearest valid key."""

from __future__ import annotations

from pathlib import Path

import pytest

from reid_dml.config import all_options, default_config, flatten, load_config, per_network
from reid_dml.errors import UserError
from reid_dml.paper.published import published_rows
from tests.conftest import REPOSITORY


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_later_options_win_over_bases_and_defaults(tmp_path):
    (tmp_path / "shared").mkdir()
    write(tmp_path / "shared" / "base.yml", "SEED: 1\nTRAIN: {STEPS: 10, BATCH_SIZE: 4}\n")
    write(tmp_path / "middle.yml", "_BASE_: shared/base.yml\nTRAIN: {STEPS: 20}\n")
    cfg = load_config(write(tmp_path / "top.yml", "_BASE_: middle.yml\nOPTIM: {EPS: 1e-4}\n"), ["SEED", "3"])
    assert (cfg.SEED, cfg.TRAIN.STEPS, cfg.TRAIN.BATCH_SIZE, cfg.OPTIM.EPS) == (3, 20, 4, 1e-4)
    assert cfg.OPTIM.BETAS == [0.9, 0.999]
    assert (cfg.EXPERIMENT, cfg.OUTPUT_DIR) == ("top", "runs/top")


def test_of_several_bases_the_later_wins(tmp_path):
    write(tmp_path / "a.yml", "SEED: 1\nTRAIN: {STEPS: 10, BATCH_SIZE: 4}\n")
    write(tmp_path / "b.yml", "TRAIN: {STEPS: 20}\n")
    cfg = load_config(write(tmp_path / "top.yml", "_BASE_: [a.yml, b.yml]\n"))
    assert (cfg.SEED, cfg.TRAIN.STEPS, cfg.TRAIN.BATCH_SIZE) == (1, 20, 4)


def test_a_loaded_config_cannot_be_changed(tmp_path):
    cfg = load_config(write(tmp_path / "a.yml", ""))
    with pytest.raises(AttributeError):
        cfg.SEED = 5


def test_a_dumped_config_loads_to_the_same_options(tmp_path):
    cfg = load_config(REPOSITORY / "configs" / "market_mobilenet_dml_cpu.yml", ["COHORT.LR", "[0.1, 0.2]"])
    again = load_config(write(tmp_path / "config.yml", cfg.dump()))
    assert flatten(again) == flatten(cfg)


def test_every_shipped_config_loads():
    paths = sorted((REPOSITORY / "configs").rglob("*.yml"))
    assert "quickstart.yml" in [path.name for path in paths]
    experiments: dict[str, Path] = {}
    for path in paths:
        cfg = load_config(path)
        assert len(published_rows(cfg.EXPECTED, cfg.DATA.NAME)) >= len(cfg.EXPECTED)
        if path.parent.name != "scales" and path.stem != "base":
            other = experiments.setdefault(cfg.EXPERIMENT, path)
            assert other == path, f"{path} and {other} would share a run folder"


def test_command_line_values_take_the_option_s_type(tmp_path):
    path = write(tmp_path / "a.yml", "")
    cfg = load_config(
        path, ["COHORT.LR", "1e-3", "EXPERIMENT", "1e3", "TRAIN.CHANNELS_LAST", "False", "OPTIM.EPS", "1"]
    )
    assert cfg.COHORT.LR == [1e-3]
    assert per_network(cfg, "COHORT.LR") == [1e-3, 1e-3]
    assert cfg.EXPERIMENT == "1e3"
    assert cfg.TRAIN.CHANNELS_LAST is False
    assert cfg.OPTIM.EPS == 1.0
    assert isinstance(cfg.OPTIM.EPS, float)


@pytest.mark.parametrize("path", [5, None, [5]])
def test_what_is_no_path_is_said(path):
    with pytest.raises(ValueError, match=r"the config: must be a path, got (int|NoneType)"):
        load_config(path)


def test_overrides_may_be_values_of_python(tmp_path):
    path = write(tmp_path / "a.yml", "")
    values = {"TRAIN.STEPS": 5, "OPTIM.EPS": 1, "INPUT.SIZE": (64, 32), "DATA.ROOT": tmp_path, "SEED": "3"}
    cfg = load_config(path, [word for pair in values.items() for word in pair])
    assert (cfg.TRAIN.STEPS, cfg.OPTIM.EPS, cfg.INPUT.SIZE, cfg.SEED) == (5, 1.0, [64, 32], 3)
    assert str(tmp_path) == cfg.DATA.ROOT
    for key, value, words in (
        ("TRAIN.STEPS", 5.5, "TRAIN.STEPS takes a whole number, not 5.5"),
        ("TRAIN.STEPS", None, "TRAIN.STEPS has no value"),
        (3, 4, "unknown option 3"),
    ):
        with pytest.raises(UserError, match=words):
            load_config(path, [key, value])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("TRAIN: {STEP: 5}", ["a.yml", "unknown option TRAIN.STEP", "did you mean TRAIN.STEPS?"]),
        ("TRIAN: {STEPS: 5}", ["unknown option TRIAN", "did you mean TRAIN"]),
        ("STEPS: 5", ["unknown option STEPS", "did you mean TRAIN.STEPS?"]),
        ("TRAIN: {STEPS: many}", ["a.yml", "TRAIN.STEPS takes a whole number, not 'many'"]),
        ("TRAIN: {STEPS: 5.5}", ["TRAIN.STEPS takes a whole number"]),
        ("EMA: {ENABLED: 1}", ["EMA.ENABLED takes True or False"]),
        ("EXPERIMENT: 5", ["EXPERIMENT takes a text", "quote it"]),
        ("TRAIN: 5", ["TRAIN is a section"]),
        ("SEED: {A: 1}", ["SEED is a single option"]),
        ("COHORT: {LR: [0.1, x]}", ["COHORT.LR takes a number, not 'x'"]),
        ("COHORT: {LR: [0.1, 0.2, 0.3]}", ["COHORT.LR", "needs 1 or 2 values"]),
        ("COHORT: {LR: [-0.1]}", ["COHORT.LR", "greater than 0"]),
        ("COHORT: {NETWORKS: []}", ["COHORT.NETWORKS", "is empty"]),
        ("COHORT: {NETWORKS: [mobilenet_v1]}", ["OBJECTIVE.STRATEGY", "needs peers"]),
        ("OBJECTIVE: {PEER_REDUCTION: men}", ["OBJECTIVE.PEER_REDUCTION", "did you mean 'mean'?"]),
        ("COHORT: {TEACHERS: [a]}\nOBJECTIVE: {STRATEGY: independent}", ["COHORT.TEACHERS", "teach nobody"]),
        ("EMA: {DECAY: 1.5}", ["EMA.DECAY", "between 0 and 1"]),
        ("OBJECTIVE: {TEMPERATURE: 0.0}", ["OBJECTIVE.TEMPERATURE", "greater than 0"]),
        ("COHORT: {LR: [.nan]}", ["COHORT.LR", "finite"]),
        ("INPUT: {SIZE: [128]}", ["INPUT.SIZE", "needs 2 values"]),
        ("INPUT: {ERASE: 1.5}", ["INPUT.ERASE", "between 0 and 1"]),
        ("INPUT: {ERASE_AREA: [0.4, 0.02]}", ["INPUT.ERASE_AREA", "a least and a largest share"]),
        ("INPUT: {ERASE_ASPECT: [0.0, 1.0]}", ["INPUT.ERASE_ASPECT", "greater than 0"]),
        ("INPUT: {CROP_AREA: [0.0, 1.0]}", ["INPUT.CROP_AREA", "a least and a largest share"]),
        ("INPUT: {CROP: inception}", ["INPUT.CROP", "DATA.STORED_SIZE to be at least INPUT.SIZE"]),
        ("INPUT: {PAD: 224}", ["INPUT.PAD", "smaller than both numbers of INPUT.SIZE"]),
        (
            "SAMPLER: {NAME: identity, IMAGES_PER_IDENTITY: 3}",
            ["TRAIN.BATCH_SIZE", "16 cannot be shared out"],
        ),
        ("SAMPLER: {NAME: camera}", ["SAMPLER.NAME", "did you mean 'cross_camera'?"]),
        ("OBJECTIVE: {TRIPLET_WEIGHT: 1.0}", ["OBJECTIVE.TRIPLET_WEIGHT", "set SAMPLER.NAME to identity"]),
        ("OBJECTIVE: {CENTER_RATE: 1.5}", ["OBJECTIVE.CENTER_RATE", "between 0 and 1"]),
        ("TRAIN: {COMPILE: true, RECOMPUTE: true}", ["TRAIN.COMPILE", "TRAIN.RECOMPUTE"]),
        ("TRAIN: {ACCUMULATION: 0}", ["TRAIN.ACCUMULATION", "greater than 0"]),
        ("TRAIN: {PRECISION: bfloat}", ["TRAIN.PRECISION", "did you mean 'bfloat16'?"]),
        ("OPTIM: {CLIP_NORM: -1}", ["OPTIM.CLIP_NORM", "must not be negative"]),
        ("DEVICE: gpu", ["DEVICE", "not one of auto, cpu, cuda"]),
        ("TEST: {WEIGHTS: ema}", ["TEST.WEIGHTS", "needs EMA.ENABLED True"]),
        ("SCHEDULE: {NAME: multistep}", ["SCHEDULE.MILESTONES", "at least one step"]),
        ("SCHEDULE: {NAME: multistep, MILESTONES: [30, 20]}", ["SCHEDULE.MILESTONES", "in rising order"]),
        ("SCHEDULE: {NAME: staircase}", ["SCHEDULE.EVERY", "at least 1"]),
        ("TRAIN: {BATCH_SIZE: 1}", ["TRAIN.BATCH_SIZE", "at least 2"]),
        ("- a\n- b", ["a.yml", "a config is a mapping"]),
        ("A: [", ["a.yml", "not valid YAML"]),
        ("_BASE_: a.yml", ["a.yml", "leads back to this file"]),
        ("_BASE_: b.yml", ["b.yml", "no such config file"]),
        ("_BASE_: [b.yml, 5]", ["a.yml", "_BASE_ must be the path of a file"]),
    ],
)
def test_a_wrong_option_is_refused_by_name(tmp_path, text, words):
    with pytest.raises(UserError) as refusal:
        load_config(write(tmp_path / "a.yml", text))
    for word in words:
        assert word in str(refusal.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["TRAIN.STEPZ", "5"], ["command line", "unknown option TRAIN.STEPZ", "did you mean TRAIN.STEPS?"]),
        (["TRAIN.STEPS"], ["command line", "has no value"]),
        (["TRAIN", "5"], ["TRAIN is a section", "TRAIN.STEPS"]),
        (["COHORT.LR", "[0.1"], ["COHORT.LR", "cannot read"]),
        (["SEED.X", "5"], ["unknown option SEED.X"]),
    ],
)
def test_a_wrong_override_is_refused_by_name(tmp_path, overrides, words):
    with pytest.raises(UserError) as refusal:
        load_config(write(tmp_path / "a.yml", ""), overrides)
    for word in words:
        assert word in str(refusal.value)


def test_a_wrong_value_is_refused_where_it_was_given(tmp_path):
    path = write(tmp_path / "a.yml", "SEED: -1")
    with pytest.raises(UserError, match=r"^command line: TRAIN\.PRECISION: 'half'"):
        load_config(path, ["SEED", "1", "TRAIN.PRECISION", "half"])
    with pytest.raises(UserError, match=r"a\.yml: SEED: -1"):
        load_config(path)


def test_a_missing_config_suggests_a_neighbour(tmp_path):
    write(tmp_path / "quickstart.yml", "")
    with pytest.raises(UserError, match=r"did you mean .*quickstart\.yml"):
        load_config(tmp_path / "quikstart.yml")


def test_every_option_says_what_it_means_and_what_it_may_be():
    options = all_options()
    assert list(flatten(default_config())) == list(options)
    for key, option in options.items():
        assert option.help, key
        assert option.values(), key
        assert not option.problem(option.default), key

"""How values are written: lists, numbers with zeros in front, paths of the home folder; and configs made to hurt."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from reid_dml.config import flatten, load_config
from reid_dml.errors import UserError
from reid_dml.options import shown


@pytest.fixture
def load(tmp_path):
    def load(text="", *overrides):
        path = tmp_path / "a.yml"
        path.write_text(text)
        return load_config(path, overrides)

    return load


@pytest.fixture
def refusal(load):
    """The one line with which a config is refused, at once."""

    def refusal(text="", *overrides):
        began = time.process_time()
        with pytest.raises(UserError) as refused:
            load(text, *overrides)
        assert time.process_time() - began < 5
        line = str(refused.value)
        assert len(line) < 800
        assert "\n" not in line
        return line

    return refusal


class TestKeysGivenTwice:
    def test_a_section(self, refusal):
        line = refusal("SEED: 1\nTRAIN: {STEPS: 5}\nTEST: {FLIP: true}\nTRAIN: {BATCH_SIZE: 4}\n")
        assert "a.yml: TRAIN is given twice, in lines 2 and 4" in line

    def test_an_option(self, refusal):
        assert "TRAIN.STEPS is given twice, in lines 2 and 3" in refusal("TRAIN:\n  STEPS: 5\n  STEPS: 6\n")

    def test_in_a_base(self, load, refusal, tmp_path):
        (tmp_path / "base.yml").write_text("SEED: 1\nSEED: 2\n")
        assert "base.yml: SEED is given twice" in refusal("_BASE_: base.yml")

    def test_a_base_may_be_overridden_and_merge_keys_too(self, load, tmp_path):
        (tmp_path / "base.yml").write_text("SEED: 1\n")
        assert load("_BASE_: base.yml\nSEED: 2\n").SEED == 2
        assert load("TRAIN: {<<: &common {STEPS: 5, BATCH_SIZE: 4}, STEPS: 6}\n").TRAIN.STEPS == 6


class TestNumbers:
    @pytest.mark.parametrize(("text", "value"), [("010", 10), ("08", 8), ("007", 7), ("+3", 3), ("1_000", 1000)])
    def test_zeros_in_front_make_no_octal_number(self, load, text, value):
        assert value == load(f"SEED: {text}").SEED
        assert value == load("", "SEED", text).SEED
        assert [value] == load("", "COHORT.LR", f"[{text}]").COHORT.LR

    def test_a_text_keeps_its_zeros(self, load):
        for text in ("007", "09"):
            assert text == load(f"EXPERIMENT: {text}").EXPERIMENT
            assert text == load("", "EXPERIMENT", text).EXPERIMENT

    def test_a_time_is_no_number_and_a_date_a_word(self, load, refusal):
        assert "SEED takes a whole number, not '12:30:00'" in refusal("SEED: 12:30:00")
        assert "OPTIM.EPS takes a number, not '1:30.5'" in refusal("", "OPTIM.EPS", "1:30.5")
        assert load("EXPERIMENT: 2024-01-31").EXPERIMENT == "2024-01-31"
        assert load("EXPERIMENT: 12:30:00").EXPERIMENT == "12:30:00"

    @pytest.mark.parametrize(("word", "value"), [("yes", True), ("ON", True), ("no", False), ("Off", False)])
    def test_yes_and_no_are_booleans_for_booleans_only(self, load, word, value):
        assert load(f"EMA: {{ENABLED: {word}}}").EMA.ENABLED is value
        assert load("", "EMA.ENABLED", word).EMA.ENABLED is value
        assert word == load(f"EXPERIMENT: {word}").EXPERIMENT
        for cfg in (load(f"TRAIN: {{COMPILE: {word}}}"), load("", "TRAIN.COMPILE", word)):
            assert str(value) == cfg.TRAIN.COMPILE  # on, off or auto

    def test_what_was_dumped_is_read_as_it_was(self, load, tmp_path):
        words = ["010", "09", "yes", "12:30:00", "1e5", "1.0e5", "2024-01-01", "~", "0x10", "no", "true", "null"]
        for word in words:
            cfg = load("", "EXPERIMENT", word)
            (tmp_path / "b.yml").write_text(cfg.dump())
            assert flatten(load_config(tmp_path / "b.yml")) == flatten(cfg)


class TestLists:
    @pytest.mark.parametrize("words", [["(64, 32)"], ["[64, 32]"], ["64,32"], ["64", "32"], ["64 32"], ["[64,", "32]"]])
    def test_ways_to_write_one(self, load, words):
        cfg = load("", "INPUT.SIZE", *words, "SEED", "4")
        assert (cfg.INPUT.SIZE, cfg.SEED) == ([64, 32], 4)

    @pytest.mark.parametrize("text", ["(64, 32)", "64, 32", "64 32", "!!python/tuple [64, 32]", "(64, 32,)"])
    def test_in_a_file(self, load, text):
        assert load(f"INPUT:\n  SIZE: {text}\n").INPUT.SIZE == [64, 32]

    @pytest.mark.parametrize("words", [["a,b"], ["(a, b)"], ["a", "b"], ["a,", "b"]])
    def test_of_texts(self, load, words):
        assert load("", "COHORT.NETWORKS", *words).COHORT.NETWORKS == ["a", "b"]

    def test_a_comma_in_the_name_of_a_file_that_is_there(self, load, tmp_path):
        (tmp_path / "a,b").touch()
        assert [f"{tmp_path}/a,b"] == load("", "COHORT.TEACHERS", str(tmp_path / "a,b")).COHORT.TEACHERS

    def test_otherwise_the_line_shows_how(self, refusal):
        assert "a list is written [224, 224]" in refusal("", "INPUT.SIZE", "64x32")
        assert "lists look like [224, 224]" in refusal("INPUT: {SIZE: (64, 32)}")
        assert "a list is written [64, 32]" in refusal("", "SEED", "64", "32")
        assert "unknown option TRAIN.STEPZ" in refusal("", "INPUT.SIZE", "64", "32", "TRAIN.STEPZ", "5")


class TestPaths:
    def test_the_home_folder_and_variables(self, load, monkeypatch):
        monkeypatch.setenv("HOME", "/home/me")
        monkeypatch.setenv("STORE", "/big")
        cfg = load("OUTPUT_DIR: ~/runs/x\nDATA: {ROOT: $STORE/data, CACHE_DIR: '${STORE}/c'}\n", "MODEL.WEIGHTS", "~/w")
        assert (cfg.OUTPUT_DIR, cfg.DATA.ROOT) == ("/home/me/runs/x", "/big/data")
        assert (cfg.DATA.CACHE_DIR, cfg.MODEL.WEIGHTS) == ("/big/c", "/home/me/w")
        assert load("", "COHORT.INIT_WEIGHTS", "[~/a.pth]").COHORT.INIT_WEIGHTS == ["/home/me/a.pth"]

    def test_what_cannot_be_expanded_is_refused(self, refusal):
        assert "$NOWHERE_SET is not set" in refusal("OUTPUT_DIR: $NOWHERE_SET/x")
        assert "~nobody_at_all names no user" in refusal("OUTPUT_DIR: ~nobody_at_all/x")
        assert "OUTPUT_DIR has no value" in refusal("OUTPUT_DIR: ~")

    def test_arguments_of_commands(self, command, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        result = command("score_features", "--query", "~/q.npz", "--gallery=~/g.npz")
        assert f"{tmp_path}/q.npz: the feature file not found" in result.error


LETTERS = zip("ABCDEFGH", "BCDEFGHI", strict=True)
BOMB = "A: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new.lower()} [{', '.join([f'*{old.lower()}'] * 9)}]\n" for old, new in LETTERS
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "repeated by aliases"),
        ("OBJECTIVE: {TEMPERATURE: 5.0e-324}", "OBJECTIVE.TEMPERATURE"),  # 0 where a library lets denormals vanish
        ("SEED: &a [*a]", "holds itself"),
        ("SEED: " + "[" * 5000 + "]" * 5000, "nested too deeply"),
        ("SEED: " + "{a: " * 3000 + "}" * 3000, "nested too deeply"),
        ("SEED: 1" + "0" * 400, "a whole number of about 401 digits is too large"),
        ("SEED: 1" + "0" * 9000, "SEED takes a whole number, not '1000"),
        ("OPTIM: {EPS: 1" + "0" * 400 + "}", "OPTIM.EPS: inf must be a finite number"),
        ("OPTIM: {EPS: 1e400}", "OPTIM.EPS: inf must be a finite number"),
        ("OPTIM: {EPS: 1e300}", "is too large"),
        ("OBJECTIVE: {TEMPERATURE: 1.0e-40}", "is too small"),
        ("SEED: -9223372036854775809", "is too large"),
        ("DATA: {NAME: synthetic}\nSYNTHETIC: {CAMERAS: 1000000000}", "SYNTHETIC.CAMERAS: 1000000000 must be at most"),
        ("DATA: {NAME: synthetic}\nSYNTHETIC: {CAMERAS: 1000, IMAGES_PER_CAMERA: 999}", "139,860,000 images"),
        ("INPUT: {SIZE: [1000000000, 8]}", "INPUT.SIZE: [1000000000, 8] must be at most 8,192"),
        ("THREADS: 1000000000", "THREADS: 1000000000 must lie between 0 and 4096"),
        ("DATA: {WORKERS: 1000000000}", "DATA.WORKERS: 1000000000 must lie between 1 and 1024"),
        ("COHORT: {LR: [" + "0.1, " * 20_000 + "]}", "more than 20,000 values"),
        ("COHORT: {LR: [" + "0.1, " * 11_000 + "]}", "has 11,000 values"),
        ("TRAIN: {STEPS: " + "x" * 500_000 + "}", "TRAIN.STEPS takes a whole number"),
        ("DEVICE: " + "x" * 500_000, "is not one of auto, cpu"),
        ("OBJECTIVE: {STRATEGY: " + "x" * 500_000 + "}", "is not one of"),
        ("x" * 1000 + ": 1", "unknown option"),
        ("SEED: " + "x" * 2_000_000, "a config has"),
        ("OUTPUT_DIR: " + "x" * 500_000, "500,000 characters; shorten it"),
        ('OUTPUT_DIR: "a\\0b"', "a character that no name can have"),
        ("SEED: !!python/object/apply:os.system [ls]", "not valid YAML"),
        ("SEED: !!int x", "not valid YAML"),
        ("SEED: !!int [1]", "not valid YAML"),
        ("SEED: !!bool maybe", "not valid YAML: a value is not what its tag says"),
        ("SEED: !!timestamp soon", "not valid YAML"),
        ('SEED: !!float ""', "not valid YAML"),
        ('_BASE_: "a\\0b"', "_BASE_: 'a\\x00b' holds a character that no name can have"),
        ('EXPERIMENT: "\\uD83D"', "a character that no name can have"),
        ("? [a, b]\n: 1", "unhashable key"),
        ("1: 2", "unknown option 1"),
        ("SEED:", "SEED has no value"),
        ("TRAIN:", "TRAIN is a section of options, not None"),
        ("\0", "not valid YAML"),
        ("a: b\n---\nc: d", "not valid YAML"),
    ],
    ids=range(40),
)
def test_a_config_made_to_hurt_is_refused_in_one_line_at_once(refusal, text, words):
    assert words in refusal(text)


def test_values_in_messages_are_short():
    nested: list = []
    for _ in range(50):
        nested = [nested] * 9
    for value in (nested, "x" * 10**6, 10**5000, {"a": nested}, list(range(10**6))):
        assert len(shown(value)) < 500
    assert shown([64, 32]) == "[64, 32]"
    assert shown("dml") == "'dml'"


def test_no_folder_called_tilde_appears(command, tiny_config, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert command("train_net", "--config-file", tiny_config, "OUTPUT_DIR", "~/x", "TRAIN.STEPS", "0").code == 0
    assert Path("home/x/config.yml").is_file()
    assert not Path("~").exists()

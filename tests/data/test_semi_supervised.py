"""Hidden labels: who keeps theirs, what training and the run folder see of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid_dml.commands.train import train_and_evaluate
from reid_dml.config import load_config
from reid_dml.data.pipeline.samplers.epoch import QuotaSampler
from reid_dml.data.pipeline.sources import make_sampler
from reid_dml.data.semi_supervised import choose_labelled
from reid_dml.data.sets import load_data
from reid_dml.errors import UserError


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=60), st.floats(0.01, 1.0), st.integers(0, 5))
def test_every_class_keeps_its_share_and_larger_shares_contain_smaller_ones(persons, share, seed):
    kept = choose_labelled(persons, share=share, seed=seed)
    for person, count in Counter(persons).items():
        assert kept[np.array(persons) == person].sum() == max(1, round(share * count))
    assert (kept <= choose_labelled(persons, share=min(1.0, share * 1.5), seed=seed)).all()
    assert choose_labelled(persons, share=1.0, seed=seed).all()


def test_identities_keep_all_their_images_and_larger_choices_contain_smaller_ones():
    persons = np.repeat(np.arange(1, 41), 5)
    few, more = (choose_labelled(persons, identities=count) for count in (10, 20))
    assert set(Counter(persons[few].tolist()).values()) == {5}
    assert (len(set(persons[few])), len(set(persons[more]))) == (10, 20)
    assert (few <= more).all()
    other = choose_labelled(persons, identities=10, seed=1)
    assert set(persons[few]) != set(persons[other])
    # The images of a person do not depend on who else is chosen.
    both = choose_labelled(persons, identities=10, share=0.4)
    assert (both <= choose_labelled(persons, share=0.4)).all()
    assert both.sum() == 20


def test_the_quota_holds_in_every_batch_and_every_unlabelled_image_comes_once():
    labels = np.array([0, 1, 2] + [-1] * 20)
    sampler = QuotaSampler(labels, 8, 3, seed=0)
    assert len(sampler) == 4
    seen: Counter[int] = Counter()
    for step in range(4):
        batch = sampler.indices(step)
        assert (labels[batch] >= 0).tolist() == [True] * 3 + [False] * 5
        assert sorted(batch[:3]) == [0, 1, 2]
        seen.update(batch[3:].tolist())
    assert seen == Counter(range(3, 23))
    assert not np.array_equal(sampler.indices(0), sampler.indices(4))


@pytest.fixture
def semi(make_config):
    """The tiny Market-like data set with labels of some persons only: 5 persons, 4 images each."""

    def make(*overrides):
        cfg = make_config("SEMI.LABELLED_IDENTITIES", "3", *overrides)
        return cfg, load_data(cfg)

    return make


def test_the_head_has_the_labelled_persons_and_the_others_have_no_label(semi):
    _, data = semi()
    assert len(data.class_ids) == 3
    assert Counter(record.person_id > 0 for record in data.train) == {True: 12, False: 8}
    assert {record.person_id for record in data.train} == {*data.class_ids, -2}
    _, dropped = semi("SEMI.UNLABELLED", "drop")
    assert dropped.train == [data.train[row] for row in data.labelled_rows]
    assert dropped.class_ids == data.class_ids


@pytest.mark.parametrize("options", [(), ("SAMPLER.LABELLED_PER_BATCH", "3")])
def test_a_retrieval_run_trains_with_hidden_labels_and_keeps_the_split(semi, options):
    cfg, data = semi("TEST.TRAIN_ACCURACY", "True", *options)
    train_and_evaluate(cfg)
    folder = Path(cfg.OUTPUT_DIR)
    record, classes = (json.loads((folder / name).read_text()) for name in ("result.json", "classes.json"))
    assert classes["person_ids"] == data.class_ids
    names = [place.rsplit("/", 1)[-1] for place in classes["labelled"]]
    assert names == [record.path.rsplit("/", 1)[-1] for record in (data.train[row] for row in data.labelled_rows)]
    assert record["semi_supervised"]["labelled_identities"] == 3
    assert record["metrics"]["networks"][0]["classification"]["train"]["top1"] <= 1
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(list(network.values())).all() for line in lines for network in line["networks"])


def test_a_classification_run_trains_with_a_share_of_the_labels(tmp_path):
    config = tmp_path / "shapes.yml"
    config.write_text(
        "SCALE: smoke\nDEVICE: cpu\nDATA: {NAME: synthetic_shapes, STORED_SIZE: [32, 32]}\nINPUT: {SIZE: [16, 16]}\n"
        "SHAPES: {TRAIN_PER_CLASS: 4, TEST_PER_CLASS: 1}\nTRAIN: {STEPS: 3, BATCH_SIZE: 8}\n"
        "COHORT: {NETWORKS: [mobilenet_v1_0.25, mobilenet_v1_0.25]}\n"
        f"SEMI: {{LABELLED_SHARE: 0.25}}\nTEST: {{TRAIN_ACCURACY: true}}\nOUTPUT_DIR: {tmp_path / 'run'}\n"
    )
    cfg = load_config(config, ["DATA.ROOT", str(tmp_path)])
    train_and_evaluate(cfg)
    classes = json.loads((tmp_path / "run" / "classes.json").read_text())
    assert (len(classes["person_ids"]), len(classes["labelled"])) == (10, 10)
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert set(metrics["networks"][0]["classification"]) == {"train", "test"}


def test_impossible_choices_are_refused(semi, make_config):
    with pytest.raises(UserError, match=r"SEMI\.LABELLED_IDENTITIES: 9 identities were asked for, there are 5"):
        semi("SEMI.LABELLED_IDENTITIES", "9")
    with pytest.raises(UserError, match=r"SAMPLER\.LABELLED_PER_BATCH: .* needs unlabelled images"):
        make_config("SAMPLER.LABELLED_PER_BATCH", "2")
    with pytest.raises(UserError, match=r"SAMPLER\.LABELLED_PER_BATCH: .* must leave room"):
        semi("SAMPLER.LABELLED_PER_BATCH", "8")
    cfg, data = semi("SAMPLER.LABELLED_PER_BATCH", "2", "TRAIN.BATCH_SIZE", "16")
    with pytest.raises(UserError, match="leaves 14 places for unlabelled images, there are 8"):
        make_sampler(cfg, data.train, data.class_ids)

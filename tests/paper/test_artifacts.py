"""Every table and figure of the papers is made of experiments that are there, with configs as the papers say."""

from __future__ import annotations

from pathlib import Path

import pytest

from reid_dml.config import flatten
from reid_dml.errors import UserError
from reid_dml.paper.artifacts import ARTIFACTS, GROUPS, choose, experiments_of
from reid_dml.paper.experiments import COHORT_SIZES, EXPERIMENTS
from reid_dml.paper.kinds import Sweep, Table
from reid_dml.paper.parts import paper_parts
from reid_dml.paper.published import PUBLISHED
from reid_dml.paper.recipes import has_recipe, recipe
from reid_dml.paper.records import Place
from reid_dml.shipped import SCALES

RUNS = Path("runs/reproduce")


def test_every_experiment_belongs_to_a_table_or_figure_and_has_a_config_at_its_scales():
    used = {name for artifact in ARTIFACTS.values() for name in experiments_of(artifact, "full")}
    assert used == set(EXPERIMENTS)
    for name, experiment in EXPERIMENTS.items():
        for scale in SCALES:
            if has_recipe(experiment, scale):
                cfg = recipe(experiment, scale, 0, RUNS)
                assert (name, scale) == (cfg.EXPERIMENT, cfg.SCALE)
                assert f"runs/reproduce/{scale}/{name}_seed0" == cfg.OUTPUT_DIR
    assert [name for name, one in EXPERIMENTS.items() if not has_recipe(one, "small")] == [
        "imagenet_mobilenet_inception_independent",
        "imagenet_mobilenet_inception_dml",
    ]


def test_every_published_row_stands_in_a_table_but_those_of_the_same_numbers():
    shown = [
        (paper, tuple(cells.values()))
        for artifact in ARTIFACTS.values()
        if isinstance(artifact, Table)
        for row in artifact.rows
        for paper, cells in row.published.items()
    ]
    for rows in PUBLISHED.values():
        for key, found in rows.items():
            for row in found:
                paper = "v1" if key.startswith("v1/") else "CVPR"
                assert (paper, tuple(row.cells.values())) in shown, key


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar100_wrn_28_10_mobilenet_dml", {"networks": ["wrn_28_10", "mobilenet_v1_cifar"], "strategy": "dml"}),
        ("cifar10_resnet32_independent", {"networks": ["resnet32_cifar"] * 2, "strategy": "independent"}),
        ("market_mobilenet_dml_k5_sum", {"networks": ["mobilenet_v1"] * 5, "reduction": "sum"}),
        ("market_mobilenet_dml_e_k4", {"networks": ["mobilenet_v1"] * 4, "strategy": "dml_e", "average": "probs"}),
        ("market_mobilenet_dml_e_k4_logits", {"strategy": "dml_e", "average": "logits"}),
        ("market_inception_mobilenet_dml", {"networks": ["inception_v1", "mobilenet_v1"], "strategy": "dml"}),
        ("market_100_dml_all", {"identities": 100, "unlabelled": "use", "strategy": "dml"}),
        ("market_100_single", {"identities": 100, "unlabelled": "drop", "networks": ["mobilenet_v1"]}),
        ("cifar100_10_dml_labelled", {"share": 0.1, "unlabelled": "drop", "strategy": "dml"}),
        ("market_mobilenet_dml_100k", {"steps": 100_000, "weights": [""]}),
        ("market_mobilenet_dml", {"steps": 200_000, "weights": [""]}),
        ("cifar10_wrn_28_10_dml_wd", {"decay": 5e-4}),
        ("cifar10_wrn_28_10_dml", {"decay": 0.0, "steps": 156_200}),
    ],
)
def test_configs_at_full_length(name, expected):
    cfg = recipe(EXPERIMENTS[name], "full", 3, RUNS)
    have = {
        "networks": cfg.COHORT.NETWORKS,
        "strategy": cfg.OBJECTIVE.STRATEGY,
        "reduction": cfg.OBJECTIVE.PEER_REDUCTION,
        "average": cfg.OBJECTIVE.ENSEMBLE,
        "identities": cfg.SEMI.LABELLED_IDENTITIES,
        "share": cfg.SEMI.LABELLED_SHARE,
        "unlabelled": cfg.SEMI.UNLABELLED,
        "steps": cfg.TRAIN.STEPS,
        "weights": cfg.COHORT.INIT_WEIGHTS,
        "decay": cfg.OPTIM.WEIGHT_DECAY,
    }
    assert {key: have[key] for key in expected} == expected
    assert cfg.SEED == 3


def test_a_student_s_teacher_is_the_first_network_of_its_run_and_its_seed_another():
    cfg = recipe(EXPERIMENTS["market_mobilenet_distilled_inception"], "full", 1, RUNS)
    assert cfg.COHORT.TEACHERS == ["runs/reproduce/full/market_inception_independent_seed1/network_0_ema.safetensors"]
    assert cfg.SEED == 101
    short = recipe(EXPERIMENTS["market_mobilenet_distilled"], "small", 0, RUNS)
    assert short.COHORT.TEACHERS == ["runs/reproduce/small/market_mobilenet_independent_seed0/network_0.safetensors"]


def test_what_the_scale_says_wins_over_the_grid_and_only_the_place_of_a_run_can_be_changed():
    experiment = EXPERIMENTS["cifar10_resnet32_dml"]
    assert recipe(experiment, "smoke", 0, RUNS).DATA.NAME == "synthetic_shapes"
    assert recipe(experiment, "small", 0, RUNS).DATA.NAME == "cifar10"
    assert recipe(experiment, "small", 0, RUNS, ["DATA.ROOT", "x"]).DATA.ROOT == "x"
    with pytest.raises(UserError, match=r"TRAIN\.STEPS: cannot be changed here"):
        recipe(experiment, "small", 0, RUNS, ["TRAIN.STEPS", "7"])
    with pytest.raises(UserError, match=r"OUTPUT_DIR: cannot be changed here"):  # it follows from the name
        recipe(experiment, "small", 0, RUNS, ["OUTPUT_DIR", "x"])
    with pytest.raises(UserError, match=r"imagenet_mobilenet_inception_dml: there is no recipe at the scale small"):
        recipe(EXPERIMENTS["imagenet_mobilenet_inception_dml"], "small", 0, RUNS)


def test_short_runs_from_scratch_and_from_imagenet_are_one():
    small, full = experiments_of(ARTIFACTS["table3"], "small"), experiments_of(ARTIFACTS["table3"], "full")
    assert small == ["market_mobilenet_independent", "market_mobilenet_dml"]
    assert len(full) == 4


def test_figures_are_of_the_networks_that_the_text_names():
    # Sec. 4.8: the noise "on CIFAR-100 using MobileNet", the classes "by a ResNet-32 on CIFAR-100".
    assert experiments_of(ARTIFACTS["fig4a"], "full") == ["cifar100_mobilenet_dml", "cifar100_mobilenet_independent"]
    assert experiments_of(ARTIFACTS["fig4b"], "full") == ["cifar100_mobilenet_dml", "cifar100_mobilenet_independent"]
    assert experiments_of(ARTIFACTS["fig4c"], "full") == ["cifar100_resnet32_dml", "cifar100_resnet32_independent"]
    assert experiments_of(ARTIFACTS["fig5"], "full") == ["market_mobilenet_dml", "market_mobilenet_independent"]


def test_no_two_experiments_are_the_same_run():
    for scale in SCALES[:2]:
        runs = {}
        for name, experiment in EXPERIMENTS.items():
            if has_recipe(experiment, scale) and not (scale == "small" and experiment.same_at_small):
                options = flatten(recipe(experiment, scale, 0, RUNS))
                for key in ("EXPERIMENT", "OUTPUT_DIR", "EXPECTED", "TEST.INTERVAL"):
                    del options[key]
                assert runs.setdefault(str(options), name) == name


def test_cohort_sizes_run_from_one_network_to_five():
    sweep = ARTIFACTS["fig3a"]
    assert isinstance(sweep, Sweep)
    for series in sweep.series:
        assert [x for x, *_ in series.points] == [1, *COHORT_SIZES]


def test_names_groups_and_a_slip():
    assert choose(["fig3", "table3", "fig3a"]) == ["fig3a", "fig3b", "table3"]
    assert choose(["v1/fig2"]) == ["fig3a", "fig3b"]  # average and ensemble
    assert choose(["v1/fig4"]) == ["fig3a", "entropy"]  # DML_e with five MobileNets: mAP and entropy
    assert choose(["table4"]) == ["table4_cifar", "table4_market"]
    assert set(choose(["all", "beside"])) == set(ARTIFACTS)
    assert all(name in ARTIFACTS for names in GROUPS.values() for name in names)
    with pytest.raises(UserError, match=r"no table, figure or experiment is called 'tabel3'.*did you mean table3"):
        choose(["tabel3"])


@pytest.mark.parametrize(
    ("further", "shown"),
    [
        ([], {"DML, mean over the peers"}),  # all series begin alike
        (["dml_k3_sum"], {"DML, sum over the peers"}),  # of which the others are the start
        (["dml_k3", "dml_e_k3"], {"DML, mean over the peers", "DML_e"}),
    ],
)
def test_a_series_that_has_no_run_of_its_own_is_not_drawn(further, shown, tmp_path):
    records = {}
    for number, name in enumerate(["independent", "dml", *further]):
        networks = [{"single_query": {"mAP_trapezoid": 0.3 + number / 100}}] * 2
        metrics = {"networks": networks, "mean": networks[0], "ensemble": networks[0]}
        records[f"market_mobilenet_{name}", "small"] = {0: {"metrics": metrics}}
    (part,) = paper_parts(["fig3a"], records, Place(tmp_path), "small")
    assert {row[0] for row in part.rows[1:]} == shown


def test_independent_networks_of_the_largest_cohort_give_the_smaller_ensembles(tmp_path):
    def record(**metrics: float) -> dict:
        return {name: {"single_query": {"mAP_trapezoid": value}} for name, value in metrics.items()}

    pair = {"networks": [], **record(ensemble=0.2)}
    five = {"networks": [], **record(ensemble=0.5), "ensembles": record(**{"3": 0.3, "4": 0.4})}
    records = {
        ("market_mobilenet_independent", "small"): {0: {"metrics": pair}},
        ("market_mobilenet_independent_k5", "small"): {0: {"metrics": five}},
    }
    (part,) = paper_parts(["fig3b"], records, Place(tmp_path), "small")
    assert [row[:3] for row in part.rows[1:]] == [["independent", str(x), f"{10 * x}.00"] for x in (2, 3, 4, 5)]


def test_the_posterior_of_the_top_classes_is_the_mean_over_networks_and_seeds(tmp_path):
    def record(*networks: list[float]) -> dict:
        mean = [sum(column) / len(networks) for column in zip(*networks, strict=True)]
        metrics = [{"classification": {"train": {"posterior": ranked}}} for ranked in (*networks, mean)]
        return {"metrics": {"networks": metrics[:-1], "mean": metrics[-1]}}

    records = {
        ("market_mobilenet_dml", "small"): {
            1: record([0.5, 0.2, 0.1, 0.1, 0.1], [0.7, 0.1, 0.1, 0.1, 0.0]),
            0: record([0.8, 0.1, 0.1, 0.0, 0.0], [0.8, 0.1, 0.1, 0.0, 0.0]),
        },
        ("market_mobilenet_independent", "small"): {0: record([0.9, 0.1])},  # two classes are all there are
    }
    (part,) = paper_parts(["fig4c_market"], records, Place(tmp_path), "small")
    assert part.rows[1] == ["DML", "1", "0.700000", "0.141421", "2"]  # of 0.6 and 0.8
    assert [row[2] for row in part.rows[2:6]] == ["0.125000", "0.100000", "0.050000", "0.025000"]
    assert part.rows[6:] == [["independent", "1", "0.900000", "", "1"], ["independent", "2", "0.100000", "", "1"]]
    assert len(part.figures) == 1
    assert next(paper_parts(["fig4c"], {}, Place(tmp_path), "small")).figures == ()


def test_curves_that_end_in_a_number_of_the_tables_are_compared_by_it(tmp_path):
    def record(*precisions: float, seed: int = 0) -> dict:
        networks = [{"single_query": {"mAP_trapezoid": precision}} for precision in precisions]
        mean = {"single_query": {"mAP_trapezoid": sum(precisions) / len(precisions)}}
        curves = {"loss": {"steps": [1, 2], "networks": [[2.0, 1.0]] * 2}}
        metrics = {"networks": networks, "mean": mean}
        return {"metrics": metrics, "networks": ["mobilenet_v1"] * 2, "curves": curves, "seed": seed}

    records = {
        ("market_mobilenet_dml_sequential", "small"): {0: record(0.0, 0.0), 1: record(0.01, 0.03, seed=1)},
        ("market_mobilenet_dml", "small"): {0: record(0.04, 0.06)},
    }
    (part,) = paper_parts(["fig2b"], records, Place(tmp_path), "small")
    assert part.note.endswith(
        "At the end, mAP trapezoid (%): sequential 1.00 ± 1.41 (n = 2), simultaneous 5.00 (n = 1)."
    )
    assert part.note.startswith("Curves of seed 0. Not recorded on the way (TEST.INTERVAL): mAP (%).")
    records["market_mobilenet_dml", "small"][1] = record(0.06, 0.08, seed=1)
    del records["market_mobilenet_dml", "small"][0]["curves"]
    (part,) = paper_parts(["fig2b"], records, Place(tmp_path), "small")
    # Welch's t = (6 - 1) / sqrt(2 / 2 + 2 / 2) at 2 degrees of freedom.
    assert part.note.startswith("Curves of seed 0 and 1.")  # the first that has them
    assert part.note.endswith("simultaneous 6.00 ± 1.41 (n = 2); p = 0.072.")

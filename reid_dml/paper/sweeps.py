"""The figures of the papers that show end results over something that differs between runs."""

from __future__ import annotations

from reid_dml.paper.experiments import CIFAR_SHARES, COHORT_SIZES, MARKET_IDENTITIES, SEMI_SUPERVISED
from reid_dml.paper.kinds import Series, Sweep


def cohort_sizes(ensemble: bool) -> Sweep:
    """Fig. 3: the mean of a cohort's networks over its size, or their ensemble."""
    # One network alone is a member of the control; of two each has one peer, whatever is done with peers.
    first = ((1.0, "market_mobilenet_independent"), (2.0, "market_mobilenet_dml"))
    kinds = {
        "DML, mean over the peers": "dml_k{}",
        "DML, sum over the peers": "dml_k{}_sum",
        "DML_e": "dml_e_k{}",
        "DML_e of logits": "dml_e_k{}_logits",
    }
    network = "ensemble" if ensemble else "mean"

    def series_of(label: str, name: str) -> Series:
        rest = ((float(size), f"market_mobilenet_{name.format(size)}") for size in COHORT_SIZES[1:])
        return Series(label, tuple((size, run, network) for size, run in (*first[ensemble:], *rest)))

    series = [series_of(label, name) for label, name in kinds.items()]
    if ensemble:
        *fewer, largest = COHORT_SIZES[1:]
        run = f"market_mobilenet_independent_k{largest}"
        some = ((float(size), run, f"ensembles/{size}") for size in fewer)
        pair = (2.0, "market_mobilenet_independent", network)
        series.append(Series("independent", (pair, *some, (float(largest), run, network))))
    what = "ensembles of their features" if ensemble else "mean of the networks"
    letter = "b" if ensemble else "a"
    return Sweep(
        f"Fig. 3({letter}): cohort size, {what}", "networks in the cohort", "mAP trapezoid", tuple(series), not ensemble
    )


def fewer_labels(data: str) -> Sweep:
    """Fig. 6, on `market` or `cifar100`."""
    names = {
        "single": "one network, labelled images",
        "dml_labelled": "DML, labelled images",
        "dml_all": "DML, all images",
    }
    places: tuple[int, ...]
    if data == "market":
        together = "market_mobilenet_dml"
        full = {"single": "market_751_single", "dml_labelled": together, "dml_all": together}
        places, last, axis, column = MARKET_IDENTITIES, 751, "labelled identities", "mAP trapezoid"
    else:
        together = "cifar100_resnet32_dml"
        full = {"single": "cifar100_resnet32_independent", "dml_labelled": together, "dml_all": together}
        places, last, axis, column = CIFAR_SHARES, 100, "labelled images of each class (%)", "top-1"
    series = tuple(
        Series(
            names[kind],
            (
                *((float(place), f"{data}_{place}_{kind}", "mean") for place in places),
                (float(last), full[kind], "mean"),
            ),
        )
        for kind in SEMI_SUPERVISED
    )
    shown = "Market-1501" if data == "market" else "CIFAR-100"
    return Sweep(f"Fig. 6: semi-supervised learning on {shown}", axis, column, series)

"""Look into trained networks: figures, the same as CSV, and an interactive page. docs/analyses.md says what they show.

reid-dml analyse tsne --run runs/dml --run runs/independent --output runs/tsne
reid-dml analyse tsne --features gallery.npz --output runs/tsne --persons 3 17 22
reid-dml analyse curves --run runs/dml --run runs/independent --output runs/curves
reid-dml analyse activation --run runs/dml --query 0002_c1s1_000451_03.jpg --output runs/activation
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from math import inf

from reid_dml.commands.arguments import add_no_verify
from reid_dml.commands.cli.names import refuse_unknown
from reid_dml.errors import UserError


def add_arguments(parser: ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="name", required=True, metavar="NAME")

    def add(name: str, text: str, *, networks: bool = True) -> ArgumentParser:
        kind = kinds.add_parser(name, help=text, description=text)
        kind.add_argument("--run", action="append", default=[], metavar="DIR", help="run folder; may be repeated")
        kind.add_argument("--output", required=True, metavar="DIR", help="folder for the files")
        if not networks:
            return kind
        kind.add_argument("options", nargs="*", metavar="KEY VALUE", help="options that override those of the runs")
        add_no_verify(kind)
        return kind

    tsne = add("tsne", "t-SNE maps of pooled features: tsne.svg, tsne_common.svg, tsne.csv, tsne.html")
    tsne.add_argument("--features", action="append", default=[], metavar="FILE", help="feature file; may be repeated")
    tsne.add_argument("--split", choices=("test", "train"), default="test", help="images of the runs (default: test)")
    tsne.add_argument("--identities", type=int, default=8, metavar="N", help="how many to draw (default: 8)")
    tsne.add_argument(
        "--persons",
        action="extend",
        nargs="+",
        default=[],
        metavar="ID",
        help="show these identities instead, by id or name",
    )
    tsne.add_argument("--seed", type=int, default=0, metavar="S", help="of the draw and of t-SNE (default: 0)")
    tsne.add_argument("--perplexity", type=float, default=30, metavar="P", help="default: 30, or a third of the images")
    tsne.add_argument(
        "--raw", action="store_true", help="common map of the features as they are, not turned onto the first network"
    )
    tsne.add_argument("--thumbnails", action="store_true", help="images above the points of the figures")

    posterior = add("posterior", "mean probability of the top classes, the true one first, and the entropy")
    posterior.add_argument("--top", type=int, default=5, metavar="N", help="classes (default: 5)")
    posterior.add_argument("--images", type=int, default=0, metavar="N", help="of each split (default: all)")

    flatness = add("flatness", "rise of the training loss under Gaussian noise on the weights")
    flatness.add_argument(  # numbers: see `_sigmas`
        "--sigmas",
        action="extend",
        nargs="+",
        default=[],
        metavar="S",
        help="of the noise (default: 0.001 to 0.02; relative: 0.02 to 0.2)",
    )
    flatness.add_argument("--relative", action="store_true", help="sigmas in units of each tensor's root mean square")
    flatness.add_argument("--draws", type=int, default=10, metavar="N", help="of the noise (default: 10)")
    flatness.add_argument("--images", type=int, default=500, metavar="N", help="training images, 0: all (default: 500)")
    flatness.add_argument("--recompute", action="store_true", help="batch-norm statistics anew under the noise")
    flatness.add_argument("--seed", type=int, default=0, metavar="S", help="of the noise (default: 0)")

    similarity = add("similarity", "do the networks differ: CKA, disagreement, overlap of ranked lists")
    similarity.add_argument("--k", type=int, default=10, metavar="K", help="length of the ranked lists (default: 10)")
    similarity.add_argument("--images", type=int, default=2000, metavar="N", help="for CKA, 0: all (default: 2000)")

    add("curves", "training loss and test metrics over the steps, of runs that have ended or not", networks=False)

    activation = add("activation", "what a query and its nearest gallery images have in common: Grad-CAM maps")
    activation.add_argument("--query", required=True, metavar="IMAGE", help="image")
    activation.add_argument(
        "--gallery",
        action="extend",
        nargs="+",
        default=[],
        metavar="PATH",
        help="folders or images (default: gallery of the run)",
    )
    activation.add_argument("--k", type=int, default=5, metavar="K", help="length of the ranked list (default: 5)")
    activation.add_argument(
        "--images", type=int, default=500, metavar="N", help="of the gallery, evenly spread, 0: all (default: 500)"
    )

    parser.set_defaults(analyses=list(kinds.choices))


def parse(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    names = parser.get_default("analyses")
    if words and not words[0].startswith("-") and words[0] not in names:
        refuse_unknown("analysis", words[0], names)
    return parser.parse_args(words)


def run(arguments: Namespace) -> None:
    given = vars(arguments)
    del given["analyses"]
    name, run, output = given.pop("name"), given.pop("run"), given.pop("output")

    for option in ("identities", "perplexity", "top", "draws", "k"):
        if option in given and not given[option] > 0:
            raise UserError(f"--{option} {given[option]}: must be greater than 0")
    if not 0 <= given.get("seed", 0) < 1 << 32:
        raise UserError(f"--seed {given['seed']}: must lie between 0 and {(1 << 32) - 1:,}")
    if given.get("images", 0) < 0:
        raise UserError(f"--images {given['images']}: must not be negative")
    if "sigmas" in given:
        given["sigmas"] = _sigmas(given["sigmas"])

    if name == "tsne":
        from reid_dml.commands.analyse import analyse_tsne

        given["rotate"] = not given.pop("raw")
        analyse_tsne(run, given.pop("features"), output, **given)
        return
    if name == "curves":
        from reid_dml.commands.analyse_curves import analyse_curves

        analyse_curves(run, output)
        return
    if name == "activation":
        from reid_dml.commands.analyse_activation import analyse_activation

        analyse_activation(run, output, **given)
        return
    from reid_dml.commands import analyse_networks

    if name == "posterior":
        analyse_networks.analyse_posterior(run, output, **given)
    elif name == "flatness":
        analyse_networks.analyse_flatness(run, output, **given)
    else:
        analyse_networks.analyse_similarity(run, output, **given)


def _sigmas(words: Sequence[str]) -> list[float]:
    """They are read as words, as the KEY VALUE pairs behind them are told apart first."""
    found = []
    for word in words:
        try:
            found.append(float(word))
        except ValueError:
            raise UserError(f"--sigmas {word}: must be a number") from None
        if not 0 <= found[-1] < inf:
            raise UserError(f"--sigmas {word}: must be a finite number that is not negative")
    return found

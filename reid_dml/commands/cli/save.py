"""Write trained networks as a model folder, to hand on or to put on a Hugging Face hub.

    reid-dml save --run runs/quickstart --to my-model
    reid-dml extract --run my-model --images DIR --output features.npz

The folder has the networks (.safetensors), their config, the numbers of their run (result.json), a model card
(README.md) and, where Roboflow's package `reid` knows the architecture, the two files it reads. It names no person of
the training data and no folder of this machine. Whatever takes --run takes the folder, offline, but for
`analyse curves`, which needs the log of a run; hf://owner/name is one on a hub.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_network, add_no_verify, add_run
from reid_dml.errors import UserError


def add_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--to", required=True, metavar="FOLDER", help="folder to write, new or empty")
    parser.add_argument(
        "--licence", default="other", metavar="NAME", help="of the weights, such as apache-2.0 (default: other)"
    )
    parser.add_argument("--terms", default="", metavar="TEXT", help="terms of the training data, for the model card")
    add_network(parser)
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    if not arguments.licence.strip():
        raise UserError("--licence '': names no licence; give one such as apache-2.0, or leave it out")

    from reid_dml.commands.networks import chosen_config
    from reid_dml.commands.save_model import save_model_folder

    cfg = chosen_config(arguments.run, arguments.config_file, arguments.options)
    save_model_folder(cfg, arguments.to, network=arguments.network, licence=arguments.licence, terms=arguments.terms)

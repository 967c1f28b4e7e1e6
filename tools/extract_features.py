"""Extract the features of a folder or table of images into one file, for search, scoring or your own use.

    python tools/extract_features.py --run runs/quickstart --images path/to/images --output features.npz
    python tools/extract_features.py --config-file FILE MODEL.WEIGHTS path --images DIR --output features.npz

Sub-folders are searched too. Person and camera are read from names like 0002_c1s1_000451_03.jpg; of other names both
are unknown; with --labels folder the sub-folders are persons, and a table (CSV) names them in columns path, person_id,
camera_id. Rows have length 1. Under torchrun the images are shared out over the processes. The same command continues
an extraction that was interrupted; what is done stands in .<output>.parts until the end.
"""

from __future__ import annotations

import argparse

from reid_dml.errors import GOES_ON, run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", metavar="RUN", help="the networks and their config: a run folder, or one of its .safetensors files"
    )
    parser.add_argument(
        "--config-file", metavar="FILE", help="instead of --run: a config file, with MODEL.WEIGHTS among the options"
    )
    parser.add_argument("--images", required=True, metavar="PATH", help="folder of images, or a table (.csv)")
    parser.add_argument("--output", required=True, metavar="FILE", help="file to write: .npz, .parquet or .mat")
    parser.add_argument(
        "--labels",
        choices=("name", "folder", "none"),
        default="name",
        help="persons of images in folders: from names like 0002_c1s1_000451_03.jpg (default), folder: a folder per "
        "person, or none",
    )
    parser.add_argument(
        "--cameras", choices=("use", "ignore"), default="use", help="ignore: count all cameras as unknown"
    )
    parser.add_argument(
        "--frame-step", type=int, default=0, metavar="N", help="images are frames: take every N-th, of videos too"
    )
    parser.add_argument(
        "--network", default="ensemble", metavar="K", help="index of one network; default: the ensemble"
    )
    parser.add_argument("options", nargs="*", metavar="KEY VALUE", help="options that override the config")
    arguments = parser.parse_intermixed_args()

    from reid_dml.commands.extract import extract_folder
    from reid_dml.commands.networks import chosen_config

    cfg = chosen_config(arguments.run, arguments.config_file, arguments.options)
    extract_folder(
        cfg,
        arguments.images,
        arguments.output,
        network=arguments.network,
        labels=arguments.labels,
        cameras=arguments.cameras,
        frame_step=arguments.frame_step,
    )


if __name__ == "__main__":
    run_command(main, interrupted=GOES_ON)

"""Export trained networks to one file that other runtimes run: ONNX, a program of torch.export, or OpenVINO.

    reid-dml export --run runs/quickstart --output model.onnx
    reid-dml export --run runs/quickstart --network 0 --normalisation outside --output model.xml
    reid-dml export --run runs/quickstart --int8 --calibration photos --output model-int8.onnx
    reid-dml extract --run model.onnx --images DIR --output features.npz

The graph takes images (N, 3, H, W), N of any size, and gives one feature an image, of length 1: that of one network,
or that of all together. The file says its size, colours, normalisation, feature width, model and SHA-256. It is
compared with the networks on images first, in batches of 1, 3 and 16: unless all features agree (cosine 0.9999) and
rank-1 is the same, no file is written. Needs onnx, onnxscript and onnxruntime (`reid_dml[export]`), or openvino.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from reid_dml.commands.arguments import add_network, add_no_verify, add_run
from reid_dml.errors import UserError
from reid_dml.outputs import OutputFile


def add_arguments(parser: ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--output", required=True, type=OutputFile, metavar="FILE", help="file to write: .onnx, .pt2 or .xml (OpenVINO)"
    )
    parser.add_argument(
        "--normalisation",
        choices=("inside", "outside"),
        default="inside",
        help="inside (default): the graph takes RGB values in [0, 1]; outside: less the mean, over the deviation",
    )
    parser.add_argument(
        "--data",
        choices=("embedded", "own"),
        default="embedded",
        help="images to compare on: drawn ones (default), or the test images of the networks' own data set",
    )
    parser.add_argument("--int8", action="store_true", help="8 bits (.onnx); prints what that costs in mAP")
    parser.add_argument(
        "--calibration", metavar="PATH", help="for --int8: folder or table of images like those to come"
    )
    parser.add_argument("--calibration-images", type=int, metavar="N", help="as many of them at most (default: 128)")
    parser.add_argument("--most-loss", type=float, metavar="X", help="points of mAP that --int8 may lose (default: 2)")
    add_network(parser)
    add_no_verify(parser)


def run(arguments: Namespace) -> None:
    given = {
        name: getattr(arguments, option)
        for name, option in (
            ("calibration", "calibration"),
            ("images", "calibration_images"),
            ("most_loss", "most_loss"),
        )
        if getattr(arguments, option) is not None
    }
    if given and not arguments.int8:
        raise UserError("--calibration, --calibration-images and --most-loss: are for --int8")
    if given.get("images", 1) < 1:
        raise UserError(f"--calibration-images {given['images']}: must be at least 1")
    if not given.get("most_loss", 0) >= 0:
        raise UserError(f"--most-loss {given['most_loss']}: must be a number of at least 0")

    from reid_dml.commands.export import Int8, export_and_print
    from reid_dml.commands.networks import chosen_config

    cfg = chosen_config(arguments.run, arguments.config_file, arguments.options)
    export_and_print(
        cfg,
        arguments.output,
        network=arguments.network,
        normalisation=arguments.normalisation,
        data=arguments.data,
        int8=Int8(**given) if arguments.int8 else None,
    )

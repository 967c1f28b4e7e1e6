"""Do two images show the same person?

    python tools/verify.py a.jpg b.jpg --run runs/quickstart [--threshold threshold.json] [--prior 0.5]
    python tools/verify.py a.jpg b.jpg --config-file FILE MODEL.WEIGHTS path

Without a threshold the similarity is all there is to say. A file of tools/calibrate.py --json for the same networks
gives a decision and a probability; the probability needs to know how many of the pairs one asks about show one person
(--prior, a half unless told otherwise).
"""

from __future__ import annotations

import argparse

from reid_dml.commands.arguments import add_network, add_no_verify, add_run
from reid_dml.errors import run_command


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", metavar="IMAGE", help="an image file")
    parser.add_argument("second", metavar="IMAGE", help="another image file")
    parser.add_argument("--threshold", metavar="X", help="a number, or a file of tools/calibrate.py --json")
    parser.add_argument("--prior", type=float, default=0.5, metavar="P", help="see above (default: 0.5)")
    parser.add_argument("--json", metavar="FILE", help="write the result to this file")
    add_run(parser)
    add_network(parser)
    add_no_verify(parser)
    arguments = parser.parse_intermixed_args()

    from reid_dml.commands.verify import verify_and_print

    verify_and_print(
        arguments.first,
        arguments.second,
        threshold=arguments.threshold,
        prior=arguments.prior,
        json=arguments.json,
        run=arguments.run,
        config_file=arguments.config_file,
        options=arguments.options,
        network=arguments.network,
    )


if __name__ == "__main__":
    run_command(main)

"""Are these two the same person? Find the threshold for a wanted false-accept rate on labelled features.

The same as `reid-dml calibrate`; its arguments: reid_dml/commands/cli/calibrate.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "calibrate")

if __name__ == "__main__":
    start("calibrate")

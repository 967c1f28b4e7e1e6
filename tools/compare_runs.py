"""A table of runs and data sets: mAP / rank-1 of every run on every data set it was tested on.

The same as `reid-dml compare`; its arguments: reid_dml/commands/cli/compare.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "compare")

if __name__ == "__main__":
    start("compare")

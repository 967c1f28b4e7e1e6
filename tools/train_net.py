"""Train a cohort, evaluate it and write its report.

The same as `reid-dml train`; its arguments: reid_dml/commands/cli/train.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "train")

if __name__ == "__main__":
    start("train")

"""Score feature files: CMC, mAP and mINP of ranking a gallery for every query.

The same as `reid-dml score`; its arguments: reid_dml/commands/cli/score.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "score")

if __name__ == "__main__":
    start("score")

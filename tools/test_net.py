"""Evaluate trained networks and their ensemble: single-query and multi-query, or accuracy on a set of classes.

The same as `reid-dml test`; its arguments: reid_dml/commands/cli/test.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "test")

if __name__ == "__main__":
    start("test")

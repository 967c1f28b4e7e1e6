"""Look into trained networks: figures, the same as CSV, and an interactive page. docs/analyses.md says what they show.

The same as `reid-dml analyse`; its arguments: reid_dml/commands/cli/analyse.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "analyse")

if __name__ == "__main__":
    start("analyse")

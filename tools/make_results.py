"""Write docs/performance.md, docs/options.md, and what docs/results.md, networks.md and search.md show of results/.

The same as `reid-dml results`; its arguments: reid_dml/commands/cli/results.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "results")

if __name__ == "__main__":
    start("results")

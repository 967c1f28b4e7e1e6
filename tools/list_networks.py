"""List networks with their parameters, multiply-accumulate operations (MACs) and width of the pooled feature.

The same as `reid-dml networks`; its arguments: reid_dml/commands/cli/networks.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "networks")

if __name__ == "__main__":
    start("networks")

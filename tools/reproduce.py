"""Every table and figure of the two papers by its name: which there are, running what is missing, ours beside theirs.

The same as `reid-dml reproduce`; its arguments: reid_dml/commands/cli/reproduce.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "reproduce")

if __name__ == "__main__":
    start("reproduce")

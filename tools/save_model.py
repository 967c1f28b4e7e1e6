"""Write trained networks as a model folder, to hand on or to put on a Hugging Face hub.

The same as `reid-dml save`; its arguments: reid_dml/commands/cli/save.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "save")

if __name__ == "__main__":
    start("save")

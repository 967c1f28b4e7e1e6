"""Build an index of a gallery to search it, add images to it or remove some.

The same as `reid-dml index`; its arguments: reid_dml/commands/cli/index.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "index")

if __name__ == "__main__":
    start("index")

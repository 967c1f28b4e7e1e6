"""Search an index of reid-dml index for the images nearest to one image, to those of a folder, or to features.

The same as `reid-dml search`; its arguments: reid_dml/commands/cli/search.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "search")

if __name__ == "__main__":
    start("search")

"""Extract the features of a folder or table of images into one file, for search, scoring or your own use.

The same as `reid-dml extract`; its arguments: reid_dml/commands/cli/extract.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "extract")

if __name__ == "__main__":
    start("extract")

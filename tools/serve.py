"""Serve a gallery: a page to search it by image, and a REST interface.

The same as `reid-dml serve`; its arguments: reid_dml/commands/cli/serve.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "serve")

if __name__ == "__main__":
    start("serve")

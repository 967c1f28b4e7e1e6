"""Do two images show the same person?

The same as `reid-dml verify`; its arguments: reid_dml/commands/cli/verify.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "verify")

if __name__ == "__main__":
    start("verify")

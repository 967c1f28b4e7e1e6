"""Convert feature files between .npz (ours), .parquet and MATLAB's .mat.

The same as `reid-dml convert`; its arguments: reid_dml/commands/cli/convert.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "convert")

if __name__ == "__main__":
    start("convert")

"""Export trained networks to one file that other runtimes run: ONNX, a program of torch.export, or OpenVINO.

The same as `reid-dml export`; its arguments: reid_dml/commands/cli/export.py.
"""

from functools import partial

from reid_dml.commands.cli.entry import call, start

main = partial(call, "export")

if __name__ == "__main__":
    start("export")

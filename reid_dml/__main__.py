"""`python -m reid_dml`, the command `reid-dml` where it is not on the path, or behind torchrun."""

from reid_dml.commands.cli.entry import main

if __name__ == "__main__":
    main()

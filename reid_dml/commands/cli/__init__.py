"""The command lines, one file per command: what it takes, and the functions of `commands` that it calls.

The module's docstring is what `--help` shows, `add_arguments` fills the parser, `run` does the work. Nothing heavy is
imported before `run`. `called.TOOLS` lists the commands; `entry` starts them, as sub-commands of `reid-dml` and as the
scripts in tools/.
"""

"""Run folders: their files, the record of a run, and the networks of a config or of earlier runs."""

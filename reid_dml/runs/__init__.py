"""Run folders, their records, and the networks of earlier runs."""

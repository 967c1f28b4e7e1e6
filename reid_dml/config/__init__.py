"""Every option of an experiment: its default and meaning, reading config files, checks of values."""

from reid_dml.config.advice import warn_of_idle_options, warn_of_idle_test_options
from reid_dml.config.loading import load_config, parse_config, per_network
from reid_dml.config.reading import flatten
from reid_dml.config.schema import all_options, default_config, get_option

__all__ = [
    "all_options",
    "default_config",
    "flatten",
    "get_option",
    "load_config",
    "parse_config",
    "per_network",
    "warn_of_idle_options",
    "warn_of_idle_test_options",
]

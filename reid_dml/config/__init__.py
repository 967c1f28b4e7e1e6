"""Every option of an experiment: its default and meaning, reading config files, checks of values."""

from reid_dml.config.defaults import default_config, load_config, per_network
from reid_dml.config.reading import flatten, get_option

__all__ = ["default_config", "flatten", "get_option", "load_config", "per_network"]

"""Settings: YAML files and environment secrets in, frozen values out; every problem at once, with its place."""

from bot.settings.fleet_file import load_fleet
from bot.settings.problems import Place, Problem, SettingsError

__all__ = ["Place", "Problem", "SettingsError", "load_fleet"]

"""ipvsadm(8): the argv that asks and changes, and what its listings say (its version 1.31, numeric forms only)."""

from bot.lvs.ipvsadm.argv import (
    list_connections,
    list_rate,
    list_stats,
    list_table,
    list_thresholds,
    list_tunnels,
    save,
    set_weight,
)
from bot.lvs.ipvsadm.connections import parse_connections
from bot.lvs.ipvsadm.counters import parse_rate, parse_stats
from bot.lvs.ipvsadm.rules import parse_save
from bot.lvs.ipvsadm.table import parse_table, parse_thresholds

__all__ = [
    "list_connections",
    "list_rate",
    "list_stats",
    "list_table",
    "list_thresholds",
    "list_tunnels",
    "parse_connections",
    "parse_rate",
    "parse_save",
    "parse_stats",
    "parse_table",
    "parse_thresholds",
    "save",
    "set_weight",
]

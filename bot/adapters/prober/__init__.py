"""The prober: asks one target one question, within a timeout, and never raises."""

from bot.adapters.prober.network import NetworkProber

__all__ = ["NetworkProber"]

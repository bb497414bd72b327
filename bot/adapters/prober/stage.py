"""How far a measurement has come, so that a timeout can say what it was waiting for."""

from __future__ import annotations


class Stage:
    """``doing`` is what is going on right now, in words."""

    __slots__ = ("doing",)

    def __init__(self) -> None:
        self.doing = "starting"

"""The page's side panel: switches that the embedding program gives, for instance the lab's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, Protocol, TypedDict


class PanelItem(TypedDict):
    """One line of the panel. ``kind`` is ``button`` or ``state`` (shown, not pressed)."""

    id: str
    label: str
    kind: str
    detail: NotRequired[str]
    danger: NotRequired[bool]
    busy: NotRequired[bool]
    group: NotRequired[str]


class Panel(Protocol):
    """What the side panel shows and does. Call ``StandIn.panel_changed()`` when ``items()`` would say something new."""

    def items(self) -> Sequence[PanelItem]:
        """The lines, top to bottom."""
        ...

    async def press(self, id: str) -> None:  # noqa: A002 - the page's word for it
        """Do what the button *id* says. An exception is shown to the person who pressed it."""
        ...


class NoPanel:
    """An empty panel."""

    def items(self) -> Sequence[PanelItem]:
        """Nothing."""
        return ()

    async def press(self, id: str) -> None:  # noqa: A002
        """Raises KeyError: there is no such button."""
        raise KeyError(id)

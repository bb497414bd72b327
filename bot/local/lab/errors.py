"""What goes wrong with a lab, in words for the person at the terminal."""

from __future__ import annotations


class LabError(Exception):
    """The lab cannot do what was asked; the message says where, what was run and what to do next."""


class LabIsUp(LabError):
    """A lab of this name runs already: a second one would orphan its guests."""


class LabIsDown(LabError):
    """No lab of this name runs."""

"""What holds for every test: hypothesis does not time its examples, for a busy machine is no defect of the program."""

from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

LAB = Path(__file__).parent / "lab"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests in the lab stand in one place: ``make test`` looks for them nowhere else, and would never run others."""
    lost = [i.nodeid for i in items if i.get_closest_marker("lab") and LAB not in i.path.parents]
    if lost:
        raise pytest.UsageError(f"marked as a lab's, and not below tests/lab, where make test looks: {lost}")

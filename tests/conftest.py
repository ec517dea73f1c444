import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: where tests run beside each other, nobody waits for one that was begun last."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)

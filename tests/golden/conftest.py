"""The flag that lets golden values be written anew."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --regenerate-golden."""
    parser.addoption(
        "--regenerate-golden",
        action="store_true",
        help="write tests/golden/*.json anew, from what the code computes now",
    )


@pytest.fixture
def regenerate(request: pytest.FixtureRequest) -> bool:
    """Whether golden values are to be written, not compared."""
    return bool(request.config.getoption("--regenerate-golden"))

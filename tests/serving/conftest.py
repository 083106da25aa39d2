"""One running service for the tests of a file."""

import pytest
from support import serving


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A service with the usual settings; tests of one file share it, so each uses users and items of its own."""
    with serving.shop(tmp_path_factory.mktemp("shop")) as running:
        yield running

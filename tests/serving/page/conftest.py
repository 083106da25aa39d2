"""One server over a tiny run and one browser, for all tests of the pages."""

from dataclasses import dataclass

import pytest
from starlette.testclient import TestClient
from support import serving
from support.devtools import Browser

from reckon.serving.service import Service


@dataclass
class Served:
    """A service behind a real port, and a client that does without it."""

    url: str
    service: Service
    client: TestClient


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A shelf of twelve books; reasoning is written in advance by no thread."""
    with serving.shop(tmp_path_factory.mktemp("served")) as shop, serving.server(shop.app) as url:
        yield Served(url, shop.service, shop.client)


@pytest.fixture(scope="session")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture
def browser(chromium):
    """The browser with an empty page and nothing said yet."""
    chromium.open("about:blank")
    chromium.looks(1280)
    chromium.console.clear()
    return chromium

"""A rated data set to ask about, and a key for the endpoint that is asked."""

import pytest
from support.classroom import rated_dataset


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")


@pytest.fixture(scope="session")
def books(tmp_path_factory):
    return rated_dataset(tmp_path_factory.mktemp("rated") / "data")

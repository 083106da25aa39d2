"""GGUF files are written with the package that reads them."""

import pytest

pytest.importorskip("gguf", reason="the extra gguf is not installed")

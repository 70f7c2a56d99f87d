"""The model that chapters compute with."""

from pathlib import Path

import pytest

from engine.lesson.bert import Bert


@pytest.fixture(scope="session")
def bert(minilm: Path) -> Bert:
    """all-MiniLM-L6-v2, real weights."""
    return Bert(str(minilm), threads=2, offline=True)

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the fabricated files beside the tests

OBJAVERSE = Path(__file__).resolve().parents[3] / "shared" / "objaverse"


@pytest.fixture(scope="session")
def objaverse() -> Path:
    """The folder of real GLBs, where this machine has it."""
    if not OBJAVERSE.is_dir():
        pytest.skip("no folder of real assets here")
    return OBJAVERSE

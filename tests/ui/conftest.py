"""What the tests of the page share: a program in the place of ``redream``, and an output folder."""

import pytest
from ui_runs import queues


@pytest.fixture
def make_queue(tmp_path):
    """See :func:`ui_runs.queues`."""
    with queues(tmp_path) as make:
        yield make

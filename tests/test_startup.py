"""While a program starts, the collector waits; afterwards it works as before."""

import gc
import subprocess
import sys

import pytest

from redream.startup import settle, uncollected


def test_the_collector_waits_and_goes_on():
    with uncollected():
        assert not gc.isenabled()
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_error():
    with pytest.raises(OSError), uncollected():
        raise OSError
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off():
    gc.disable()
    try:
        with uncollected():
            settle()
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_run_is_collected_and_its_start_is_not():
    code = """if True:
        import gc
        from redream.startup import settle, uncollected
        with uncollected():
            many = [[each] for each in range(1000)]
            settle()
            assert gc.isenabled()
            frozen = gc.get_freeze_count()
            assert frozen > 1000, frozen
            settle()  # the second start of a process keeps nothing more
            assert gc.get_freeze_count() == frozen
        assert gc.isenabled()
        circle = []
        circle.append(circle)
        del circle
        assert gc.collect() > 0
    """
    subprocess.run([sys.executable, "-c", code], check=True)

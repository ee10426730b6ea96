import math
from xml.etree import ElementTree

import pytest
import torch

from redream.export.charts import LossHistory, chart, smooth, thin_out


def test_history_keeps_every_nth_step_and_one_name_per_value():
    history = LossHistory(every_n_steps=2)
    for step in range(1, 7):
        value = torch.tensor(1.0 / step)
        history.record(
            step, {"vsd": value, "vsd_step": value, "vsd_epoch": value, "warm_step": 2.0}
        )
    assert list(history.curves) == ["vsd", "warm_step"]
    assert history.curves["vsd"] == [(s, pytest.approx(1 / s)) for s in (2, 4, 6)]


def test_history_skips_what_is_not_finite():
    history = LossHistory(every_n_steps=1)
    history.record(1, {"vsd": math.nan})
    history.record(2, {"vsd": 3.0})
    assert history.curves == {"vsd": [(2, 3.0)]}


def test_history_goes_through_a_checkpoint(tmp_path):
    history, resumed = LossHistory(1), LossHistory(1)
    history.record(1, {"vsd": 0.5})
    torch.save(history.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    resumed.record(2, {"vsd": 0.25})
    assert resumed.curves == {"vsd": [(1, 0.5), (2, 0.25)]}


def test_thinning_and_smoothing_keep_the_mean_and_the_straight_line():
    curve = [(step, float(step % 7)) for step in range(1, 2101)]
    thinned = thin_out(curve, 300)
    assert len(thinned) == 300
    assert sum(v for _, v in thinned) / 300 == pytest.approx(sum(v for _, v in curve) / 2100)
    line = [(step, 2.0 * step) for step in range(100)]
    assert dict(smooth(line)[10:-10]) == pytest.approx(dict(line[10:-10]))


@pytest.mark.parametrize("curve", [[(5, 1.0)], [(1, 2.0), (2, 2.0)], [(1, -3.0), (9, 7.0)]])
def test_chart_is_valid_and_inside_its_box(curve):
    figure = ElementTree.fromstring(chart("loss <a&b>", curve))
    assert figure.find("figcaption/span").text == "loss <a&b>"
    width, height = (float(v) for v in figure.find("svg").get("viewBox").split()[2:])
    for line in figure.iter("polyline"):
        points = [tuple(map(float, p.split(","))) for p in line.get("points").split()]
        assert len(points) == len(curve)
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_chart_draws_the_larger_value_higher():
    figure = ElementTree.fromstring(chart("loss", [(0, 0.0), (10, 5.0)]))
    raw = next(line for line in figure.iter("polyline") if line.get("class") == "raw")
    (x0, y0), (x1, y1) = (tuple(map(float, p.split(","))) for p in raw.get("points").split())
    assert x1 > x0 and y1 < y0

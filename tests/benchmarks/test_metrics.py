"""The page that checks the metrics, made whole from a few objects."""

import sys

from benchmarks import metrics


def test_the_page_is_made_with_every_measure_in_its_place(tmp_path, monkeypatch, capsys):
    out = tmp_path / "metrics_check.md"
    few = ["--prompts", "2", "--num_spoiled", "1", "--num_views", "24", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["metrics", *few])
    metrics.main()
    page = out.read_text("utf-8")
    assert "2 test prompts, 24 views" in page and "nan" not in page
    truth = page.partition("| measure | mean")[2].partition("spoiled")[0]
    for title in ("CLIP score", "fronts seen", "shape F-score", "pattern score"):
        assert f"| {title}" in truth
    one, two = (
        next(line for line in page.splitlines() if line.startswith(f"| {num} | ")) for num in "12"
    )
    assert one.endswith("| 2 of 2 |") and two.endswith("| 2 of 2 |")
    assert "<!-- patterns -->" in page and page.rstrip().endswith("<!-- end -->")

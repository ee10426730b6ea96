import io
import re

import pytest
from rich.console import Console

from redream.callbacks import Previews, Progress


def _text(progress):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", progress.console.file.getvalue())


def _progress(terminal, **options):
    progress = Progress(**options)
    progress.console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    return progress


def test_a_log_gets_a_line_now_and_then(toy, train):
    progress = _progress(False, num_lines=3)
    train(toy.Module(), [progress], num_steps=6, enable_progress_bar=True)
    lines = [line for line in _text(progress).splitlines() if line.startswith("step")]
    assert [line.split()[1] for line in lines] == ["2/6", "4/6", "6/6"]
    assert all("distillation" in line for line in lines)
    assert "ETA 0:00:00" in lines[-1]
    assert "warm-up" in lines[0] and "distil" in lines[1]


def test_a_loss_that_has_ended_is_not_shown_any_more(toy, train):
    class Ending(toy.Module):
        """Has two losses in its first two steps, then one; something else is shown always."""

        def training_step(self, batch, batch_idx):
            total = super().training_step(batch, batch_idx)
            self.losses = {"guidance": total.detach()}
            if self.global_step < 2:
                self.losses["warmup"] = total.detach()
            self.log_dict(self.losses, prog_bar=True)
            self.log("skipped", 1.0, prog_bar=True)
            return total

    progress = _progress(False, num_lines=4)
    train(Ending(), [progress], num_steps=4, enable_progress_bar=True)
    lines = [line for line in _text(progress).splitlines() if line.startswith("step")]
    assert ["warmup" in line for line in lines] == [True, True, False, False]
    assert all("guidance" in line and "skipped 1" in line for line in lines)


def test_a_terminal_gets_a_bar(toy, train):
    progress = _progress(True)
    train(toy.Module(), [progress], enable_progress_bar=True)
    text = _text(progress)
    assert "4/4" in text and "distil" in text and "ETA" in text and "distillation" in text


def test_ctrl_c_closes_the_bar(toy, train):
    progress = _progress(True)
    with pytest.raises(SystemExit):
        train(toy.Module(fail_at=2), [progress], enable_progress_bar=True)
    progress.print("below")
    assert _text(progress).endswith("below\n")
    assert "2/4" in _text(progress)


def test_a_disabled_bar_is_silent(toy, train):
    progress = _progress(True)
    progress.disable()
    train(toy.Module(), [progress], enable_progress_bar=True)
    assert _text(progress) == ""


def test_previews_come_every_n_steps_with_a_row_per_particle(toy, train, tmp_path):
    from PIL import Image

    train(toy.Module(), [Previews(every_n_steps=2, num_views=3, size=16)])
    sheets = sorted(tmp_path.rglob("*"))
    assert [sheet.name for sheet in sheets] == ["previews", "step_000002.png", "step_000004.png"]
    with Image.open(sheets[1]) as image:
        assert image.size == (3 * 18 - 2, 2 * 18 - 2)
        for column in range(3):
            for row in range(2):
                assert image.getpixel((18 * column + 8, 18 * row + 8)) != (255, 255, 255)
    assert Previews(every_n_steps=0).every_n_steps == 0


def test_unusable_options_are_refused():
    with pytest.raises(ValueError, match="every_n_steps"):
        Previews(every_n_steps=-1)
    with pytest.raises(ValueError, match="num_lines"):
        Progress(num_lines=0)

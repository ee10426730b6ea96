"""What of the paper holds on the embedded world: its claims, each beside what the records found."""

from collections.abc import Callable, Mapping
from statistics import mean
from typing import Any, NamedTuple

from experiments.paper.adapted import LAYERS, RAW, WHOLE
from experiments.paper.fig17 import VARIANTS
from experiments.paper.galleries import BASELINE
from experiments.paper.record import Record, Table
from experiments.paper.table1 import comparisons, show_difference, values_of
from experiments.paper.world import METHODS, OURS, WORLDS
from redream.metrics.statistics import Comparison, bootstrap

HEAD = ["claim", "the paper", "here", "verdict"]
RULE = (
    "A claim holds where the 95% interval of the difference that it is about lies on its side of "
    "zero, does not hold where it lies on the other side, and is unsure between."
)
VERDICTS = {1: "**holds**", 0: "unsure", -1: "**does not hold**"}
MARGIN = 0.05  # what is called kept may be less by this
_WORLD = WORLDS["embedded"]


class Finding(NamedTuple):
    """What was found, and whether the claim holds: 1 yes, -1 no, 0 unsure."""

    here: str
    holds: int


class Claim(NamedTuple):
    """Something that the paper says.

    Attributes:
        says: The claim.
        paper: What the paper has for it.
        record: Name of the record that tests it.
        find: Gives the finding from what that record measured; None where it lacks it.
    """

    says: str
    paper: str
    record: str
    find: Callable[[Any], Finding | None]


def sign(low: float, high: float, better: int) -> int:
    """Whether an interval lies on the better side of zero (1), on the other (-1), or on both."""
    if low > 0.0 or high < 0.0:
        return better if low > 0.0 else -better
    return 0


def _ahead(method: str, key: str) -> Callable[[Any], Finding | None]:
    """Ours against another method or variant, on one measure."""
    better = next(measure.better for measure in _WORLD.measures if measure.key == key)

    def find(numbers: Any) -> Finding | None:  # noqa: ANN401
        paired: Mapping[tuple[str, str], tuple[Comparison, float]] = comparisons(
            _WORLD, values_of(_WORLD, numbers["objects"])
        )
        if (method, key) not in paired:
            return None
        found = paired[method, key][0]
        return Finding(show_difference(found), sign(found.low, found.high, better))

    return find


def _obeyed(prior: str, other: str) -> Callable[[Any], Finding | None]:
    """Pictures from behind where one prior and another are asked for them."""

    def find(numbers: Any) -> Finding | None:  # noqa: ANN401
        shares = [
            [each[name]["accuracy"]["back"] for each in numbers.values()] for name in (prior, other)
        ]
        gain = bootstrap([a - b for a, b in zip(*shares, strict=True)])
        here = f"{mean(shares[0]):.2f} against {mean(shares[1]):.2f}"
        return Finding(here, sign(gain.low, gain.high, 1))

    return find


def _kept(numbers: Any) -> Finding | None:  # noqa: ANN401
    """Objects and materials that the adapted prior names right where prompts drift away."""
    losses, shown = [], []
    for key in ("category", "material"):
        shares = [
            [each["rungs"][-1][prior][key] for each in numbers.values()] for prior in (WHOLE, RAW)
        ]
        losses.append(bootstrap([a - b for a, b in zip(*shares, strict=True)]))
        shown.append(f"{key} {mean(shares[0]):.2f} against {mean(shares[1]):.2f}")
    ends = [(loss.low + MARGIN, loss.high + MARGIN) for loss in losses]
    return Finding(", ".join(shown), min(sign(low, high, 1) for low, high in ends))


def _sooner(numbers: Any) -> Finding | None:  # noqa: ANN401
    """What it takes ours to reach the score that the baseline ends with."""
    if "convergence" not in numbers:
        return None
    ours, theirs = (numbers["convergence"][method] for method in (OURS, BASELINE))
    here = f"reached on {ours['reached']} of {ours['num']} prompts"
    if ours["steps"] is None or 2 * ours["reached"] <= ours["num"]:
        return Finding(here, -1)
    for key, unit in (("steps", "steps"), ("unet_samples", "samples")):
        here += f", {ours[key]:.0f} {unit} against {theirs[key]:.0f}"
    fewer = [ours[key] < theirs[key] for key in ("steps", "unet_samples")]
    return Finding(here, 1 if all(fewer) else 0 if any(fewer) else -1)


def _fronts_found(numbers: Any) -> Finding | None:  # noqa: ANN401
    """Fronts that the paper's rule finds, against the share that the paper has."""
    found = numbers["highest front view"]
    here = f"{100 * found['rate']:.1f}% of {found['num_assets']}"
    return Finding(here, sign(found["low"] - 0.867, found["high"] - 0.867, 1))


def _table1(method: str) -> list[Claim]:
    name, against = METHODS[OURS], METHODS[method]
    clip = {"dreamfusion": "0.242, 0.185", "prolificdreamer": "0.218, 0.204"}[method]
    lpips = {"dreamfusion": "0.075, 0.076", "prolificdreamer": "0.227, 0.135"}[method]
    rows = (
        ("clip_score", "a higher CLIP score", f"0.274, 0.227 against {clip} (two CLIPs)"),
        ("a_lpips_embedded", "a lower A-LPIPS", f"0.041, 0.054 against {lpips} (VGG, Alex)"),
        ("janus", "fewer objects with two fronts", "shown in figures"),
        ("shape_f_score", "a better shape", "preferred by some 75% of raters"),
    )
    return [
        Claim(f"{name} has {says} than {against}", paper, "table1", _ahead(method, key))
        for key, says, paper in rows
    ]


CLAIMS = (
    *_table1("dreamfusion"),
    *_table1("prolificdreamer"),
    Claim(
        f"{METHODS[OURS]} needs fewer iterations to {METHODS[BASELINE]}'s score",
        "20,000 instead of 25,000 (App. E.6)",
        "fig10_16",
        _sooner,
    ),
    Claim(
        'the adapted prior obeys "back view" more often than the raw one',
        "shown (Fig. 4)",
        "fig14",
        _obeyed(WHOLE, RAW),
    ),
    Claim(
        "layers with tokens obey it more often than layers alone",
        "shown (Fig. 14)",
        "fig14",
        _obeyed(WHOLE, LAYERS),
    ),
    Claim(
        "adaptation does not overfit: another object of another material comes out as asked",
        "shown (Fig. 15)",
        "fig15",
        _kept,
    ),
    Claim(
        "without initialisation its shapes are worse",
        "shown (Fig. 17)",
        "fig17",
        _ahead(VARIANTS["no initialisation"].method, "shape_f_score"),
    ),
    Claim(
        "without adaptation more objects have two fronts",
        "shown (Fig. 17)",
        "fig17",
        _ahead(VARIANTS["no adaptation"].method, "janus"),
    ),
    Claim("the front of an asset is found", "86.7% of 45 (Table 3)", "table3", _fronts_found),
)


def verdicts(records: Mapping[str, Record]) -> Table:
    """All claims, with what those of these records have found that are there.

    Args:
        records: Records by name, such as ``table1``.
    """
    rows = []
    for claim in CLAIMS:
        found = claim.find(records[claim.record].numbers) if claim.record in records else None
        cells = ["-", "not measured"]
        if found is not None:
            cells = [
                found.here,
                {1: "**holds**", 0: "unsure", -1: "**does not hold**"}[found.holds],
            ]
        rows.append([claim.says, claim.paper, *cells])
    return Table(HEAD, rows)

"""What of the paper holds on the embedded world: its claims, each beside what the records found."""

from collections.abc import Callable, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import fisher_exact

from experiments.paper.adapted import LAYERS, LETTER_ADAPTER, RAW, WHOLE
from experiments.paper.fig17 import VARIANTS
from experiments.paper.galleries import BASELINE
from experiments.paper.record import Record, Table
from experiments.paper.table1 import comparisons, show_difference, values_of
from experiments.paper.table3 import FRESH, REAL
from experiments.paper.world import LETTER, METHODS, OURS, WORLDS
from redream.metrics.statistics import FEWEST, Comparison, decided, holm, sign_flip_p

HEAD = ["claim", "the paper", "here", "p", "p (Holm)", "verdict"]
RULE = (
    "A claim is decided where the two-sided sign-flip test over prompts, adjusted by Holm for all "
    "claims of this table that could be decided, has p of at most 0.05: it holds where the "
    "difference is on its side, and does not where it is on the other. Fewer than "
    f"{FEWEST} prompts cannot decide, for the smallest p that five can have is 0.0625. Of two "
    "conditions that must both hold the larger p counts. Fronts are compared with the paper's 39 "
    "of 45 by Fisher's exact test. What a claim calls ReDream is configs/default.yaml, which "
    "departs from the paper where its rules do not work on a prior this small "
    "([each departure](paper.md)), with one particle, a smaller batch for Eq. 5, and guidance 7.5 "
    "throughout, which tuning with earlier weights chose before the default's guidance fell; *to "
    "the letter* is configs/methods/redream.yaml over it. It and MVDream are not tuned."
)
VERDICTS = {1: "**holds**", -1: "**does not hold**"}
PAPERS_FRONTS = (39, 45)  # Table 3: found, of
MARGIN = 0.05  # what is called kept may be less by this
_WORLD = WORLDS["embedded"]


class Finding(NamedTuple):
    """What was found.

    Attributes:
        here: For the table.
        side: 1 where it speaks for the claim, -1 against it, 0 neither.
        p: Of the two-sided test that nothing is there.
        num: What is independent: prompts, or assets.
        unit: What these are called.
    """

    here: str
    side: int
    p: float
    num: int
    unit: str = "prompts"


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


def of_differences(here: str, differences: Sequence[float], better: int = 1) -> Finding:
    """A finding from one difference a prompt."""
    total = sum(differences)
    side = (total > 0.0) - (total < 0.0)
    p = sign_flip_p(np.asarray(differences, dtype=np.float64), 10_000)
    return Finding(here, better * side, p, len(differences))


def all_of(here: str, findings: Sequence[Finding]) -> Finding:
    """One finding of several, all of which a claim needs.

    It speaks for the claim where all do, as surely as the least sure of them, and against it where
    one does, as surely as the surest of these, adjusted for their number.
    """
    against = [each.p for each in findings if each.side < 0]
    p, num = max(each.p for each in findings), min(each.num for each in findings)
    if against:
        return Finding(here, -1, min(1.0, len(findings) * min(against)), num)
    return Finding(here, min(each.side for each in findings), p, num)


def _ahead(method: str, key: str, ours: str = OURS) -> Callable[[Any], Finding | None]:
    """Ours against another method or variant, on one measure."""
    better = next(measure.better for measure in _WORLD.measures if measure.key == key)

    def find(numbers: Any) -> Finding | None:  # noqa: ANN401
        values = values_of(_WORLD, numbers["objects"])
        paired: Mapping[tuple[str, str], tuple[Comparison, float]]
        paired = comparisons(_WORLD, values, ours) if ours in values else {}
        if (method, key) not in paired:
            return None
        found = paired[method, key][0]
        side = (found.difference > 0.0) - (found.difference < 0.0)
        return Finding(show_difference(found), better * side, found.p, found.num)

    return find


def _obeyed(prior: str, other: str) -> Callable[[Any], Finding | None]:
    """Pictures from behind where one prior and another are asked for them."""

    def find(numbers: Any) -> Finding | None:  # noqa: ANN401
        if not all(prior in each and other in each for each in numbers.values()):
            return None
        shares = [
            [each[name]["accuracy"]["back"] for each in numbers.values()] for name in (prior, other)
        ]
        here = f"{mean(shares[0]):.2f} against {mean(shares[1]):.2f}"
        return of_differences(here, [a - b for a, b in zip(*shares, strict=True)])

    return find


def _kept(numbers: Any) -> Finding | None:  # noqa: ANN401
    """Objects and materials that the adapted prior names right where prompts drift away."""
    findings, shown = [], []
    for key in ("category", "material"):
        shares = [
            [each["rungs"][-1][prior][key] for each in numbers.values()] for prior in (WHOLE, RAW)
        ]
        shown.append(f"{key} {mean(shares[0]):.2f} against {mean(shares[1]):.2f}")
        kept = [a - b + MARGIN for a, b in zip(*shares, strict=True)]
        findings.append(of_differences(shown[-1], kept))
    return all_of(", ".join(shown), findings)


def _sooner(numbers: Any) -> Finding | None:  # noqa: ANN401
    """What it takes ours to reach the score that the baseline ends with, prompt by prompt."""
    if "convergence" not in numbers:
        return None
    ours, theirs = (numbers["convergence"][method] for method in (OURS, BASELINE))
    here = f"reached on {ours['reached']} of {ours['num']} prompts"
    findings = []
    for key, unit in (("steps", "steps"), ("passes", "passes")):
        if ours[key] is not None:
            here += f", {ours[key]:.0f} {unit} against {theirs[key]:.0f}"
        signs = [
            _earlier(mine, other, key)
            for mine, other in zip(ours["prompts"], theirs["prompts"], strict=True)
        ]
        findings.append(of_differences(here, signs))
    return all_of(here, findings)


def _earlier(mine: Mapping[str, float] | None, other: Mapping[str, float], key: str) -> int:
    """1 where mine took less than the other, -1 where it took more or never came there."""
    if mine is None:
        return -1
    return (mine[key] < other[key]) - (mine[key] > other[key])


def _fronts_found(kind: str) -> Callable[[Any], Finding | None]:
    """Fronts that the paper's rule finds, against the share that the paper has."""

    def find(numbers: Any) -> Finding | None:  # noqa: ANN401
        if kind not in numbers:
            return None
        found = numbers[kind]["highest front view"]
        num, share = found["num_assets"], found["rate"]
        right, (theirs, of) = round(share * num), PAPERS_FRONTS
        p = float(fisher_exact([[right, num - right], [theirs, of - theirs]]).pvalue)
        side = (share > theirs / of) - (share < theirs / of)
        return Finding(f"{100 * share:.1f}% of {num}", side, p, num, "assets")

    return find


PAPERS_TABLE1 = {
    "dreamfusion": ("0.242, 0.185", "0.075, 0.076"),
    "prolificdreamer": ("0.218, 0.204", "0.227, 0.135"),
    "mvdream": ("0.263, 0.217", "0.062, 0.072"),
}
"""CLIP score by two CLIPs, A-LPIPS by VGG and Alex; of ReDream 0.274, 0.227 and 0.041, 0.054."""


def _table1(ours: str, method: str) -> list[Claim]:
    name, against = METHODS[ours], METHODS[method]
    clip, lpips = PAPERS_TABLE1[method]
    rows = [
        ("clip_score", "a higher CLIP score", f"0.274, 0.227 against {clip} (two CLIPs)"),
        ("a_lpips_embedded", "a lower A-LPIPS", f"0.041, 0.054 against {lpips} (VGG, Alex)"),
    ]
    if method == "mvdream":  # whose geometry the paper does not doubt
        rows += [("pattern_score", "the material asked for more often", "shown (Fig. 9)")]
    else:
        rows += [
            ("janus", "fewer objects with two fronts", "shown in figures"),
            ("shape_f_score", "a better shape", "preferred by some 75% of raters"),
        ]
    return [
        Claim(f"{name} has {says} than {against}", paper, "table1", _ahead(method, key, ours))
        for key, says, paper in rows
    ]


CLAIMS = (
    *(
        claim
        for ours in (OURS, LETTER)
        for method in PAPERS_TABLE1
        for claim in _table1(ours, method)
    ),
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
        'Eq. 5 to the letter obeys "back view" more often than the raw prior',
        "shown (Fig. 4)",
        "fig14",
        _obeyed(LETTER_ADAPTER, RAW),
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
    Claim(
        "the front of an asset is found, by a CLIP that knows its kind",
        "86.7% of 45 (Table 3)",
        "table3",
        _fronts_found(FRESH),
    ),
    Claim(
        "the front of an asset is found, by one that knows clay toys alone",
        "-",
        "table3",
        _fronts_found(REAL),
    ),
)


def verdicts(records: Mapping[str, Record]) -> Table:
    """All claims, with what those of these records have found that are there.

    Args:
        records: Records by name, such as ``table1``.
    """
    found = [
        claim.find(records[claim.record].numbers) if claim.record in records else None
        for claim in CLAIMS
    ]
    adjusted = adjusted_p([each for each in found if each is not None])
    rows = []
    for claim, each in zip(CLAIMS, found, strict=True):
        cells = ["-", "-", "-", "not measured"]
        if each is not None:
            p = adjusted.get(each, 1.0)
            cells = [each.here, f"{each.p:.3f}", f"{p:.3f}", verdict_of(each, p)]
            if each.num < FEWEST:
                cells[2] = "-"
        rows.append([claim.says, claim.paper, *cells])
    return Table(HEAD, rows)


def adjusted_p(findings: Sequence[Finding]) -> dict[Finding, float]:
    """Holm's p of each finding that can be decided."""
    able = list(dict.fromkeys(each for each in findings if each.num >= FEWEST))
    return dict(zip(able, holm([each.p for each in able]), strict=True))


def verdict_of(found: Finding, p: float) -> str:
    """What a finding says of its claim.

    Args:
        found: The finding.
        p: Its p-value, adjusted.
    """
    if found.num < FEWEST:
        return f"cannot be decided with {found.num} {found.unit}"
    return VERDICTS.get(found.side, "undecided") if decided(p, found.num) else "undecided"

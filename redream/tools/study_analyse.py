"""Reads a study's answers, opens the key and says what people prefer."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from redream.metrics.preferences import (
    Answer,
    Preference,
    Strength,
    consistency,
    left_share,
    preferences,
    strengths,
)
from redream.tools.study_make import KEY
from redream.tools.study_serve import checked, read_key


@dataclass(frozen=True)
class Findings:
    """What a study's answers say.

    Attributes:
        question: What was asked.
        num_raters: Raters.
        num_answers: Answers, repeated ones left out.
        preferences: Every two methods.
        strengths: All methods on one scale, best first.
        left: Share of answers that chose the left side, with its 95% interval.
        consistent: Repeated pairs answered as before, and all repeated pairs.
    """

    question: str
    num_raters: int
    num_answers: int
    preferences: list[Preference]
    strengths: list[Strength]
    left: tuple[float, float, float]
    consistent: tuple[int, int]


def analyse(study: Path, files: Sequence[Path]) -> Findings:
    """Analyses the answers of one or many files.

    Args:
        study: The study's folder.
        files: Files of answers, as ``serve`` and the page write them.

    Returns:
        The findings.

    Raises:
        FileNotFoundError: If the study or a file is missing.
        ValueError: If an answer is not one of this study, or there is none.
    """
    if not (study / KEY).is_file():
        raise FileNotFoundError(f"{study} holds no study: make one with `redream study make`")
    key = read_key(study)
    answers: dict[tuple[str, str, bool], Answer] = {}
    for path in files:
        if not path.is_file():
            raise FileNotFoundError(f"there are no answers at {path}")
        with path.open(newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                try:
                    answer = _opened(checked(row, key), key)
                except ValueError as error:
                    raise ValueError(f"{path}, line {line}: {error}") from error
                # A rater's second answer to one question, or a file given twice, counts once.
                answers.setdefault((answer.rater, answer.pair, answer.again), answer)
    once = [answer for answer in answers.values() if not answer.again]
    if not once:
        raise ValueError("there is no answer yet")
    everything = list(answers.values())
    return Findings(
        question=key["question"],
        num_raters=len({answer.rater for answer in once}),
        num_answers=len(once),
        preferences=preferences(once),
        strengths=strengths(once),
        left=left_share(everything),
        consistent=consistency(everything),
    )


def as_markdown(found: Findings) -> str:
    """The findings as a page."""
    same, repeated = found.consistent
    left, low, high = found.left
    lines = [
        f"## {found.question}",
        "",
        f"{found.num_raters} raters, {found.num_answers} answers. The left side was chosen in "
        f"{left:.1%} [{low:.1%}, {high:.1%}]; {same} of {repeated} repeated pairs were answered as "
        "before. Intervals are 95%: over raters and prompts by the bootstrap, and Wilson's, which "
        "takes answers for independent and is too narrow.",
        "",
        "| method | over | preferred | over raters and prompts | Wilson |",
        "|---|---|---|---|---|",
    ]
    for each in found.preferences:
        intervals = [f"[{a:.1%}, {b:.1%}]" for a, b in (each.clustered, each.naive)]
        share = f"{each.share:.1%} ({each.num_wins} of {each.num_answers})"
        lines.append(f"| {each.method} | {each.other} | {share} | {' | '.join(intervals)} |")
    lines += ["", "| method | Bradley-Terry log-strength | 95% |", "|---|---|---|"]
    lines += [
        f"| {each.method} | {each.strength:+.2f} | [{each.low:+.2f}, {each.high:+.2f}] |"
        for each in found.strengths
    ]
    return "\n".join(lines)


def _opened(row: dict[str, str], key: dict[str, object]) -> Answer:
    films: dict[str, dict[str, str]] = key["films"]  # type: ignore[assignment]
    (other,) = {row["left"], row["right"]} - {row["chosen"]}
    winner, loser = films[row["chosen"]], films[other]
    return Answer(
        rater=row["rater"],
        prompt=winner["prompt"],
        winner=winner["method"],
        loser=loser["method"],
        chose_left=row["chosen"] == row["left"],
        again=row["again"] == "1",
        pair=row["pair"],
    )

"""The study of Table 2: blind pages, guarded answers, and findings on raters who are known."""

import csv
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from raters import METHODS, PROMPTS, simulate

from redream.cli import main
from redream.metrics.preferences import Answer, bradley_terry, consistency, preferences, strengths
from redream.tools.study_analyse import analyse, as_markdown
from redream.tools.study_make import find_objects, make_study
from redream.tools.study_serve import COLUMNS, read_key


def page_of(study):
    html = (study / "page" / "index.html").read_text()
    return html, json.loads(re.search(r'type="application/json">(.*?)</script>', html)[1])


def write_answers(path, answers):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(answers)


def test_the_page_does_not_say_whose_objects_are_shown(study):
    html, shown = page_of(study)
    assert not any(method in html for method in METHODS)
    assert {pair["prompt"] for pair in shown["pairs"]} == set(PROMPTS)
    names = {film.stem for film in (study / "page" / "films").iterdir()}
    assert len(names) == 36 and names == {p[s] for p in shown["pairs"] for s in ("left", "right")}
    assert not (study / "page" / "key.json").exists()
    key = read_key(study)
    for name in names:
        content = (study / "page" / "films" / f"{name}.mp4").read_bytes()
        assert content.startswith(f"{key['films'][name]['method']} ".encode())


def test_pairs_show_one_prompt_and_each_method_is_left_equally_often(study):
    key, (_, shown) = read_key(study), page_of(study)
    left = Counter()
    for pair in shown["pairs"]:
        films = [key["films"][pair[side]] for side in ("left", "right")]
        assert films[0]["prompt"] == films[1]["prompt"] == pair["prompt"]
        assert films[0]["method"] != films[1]["method"]
        left[tuple(film["method"] for film in films)] += 1
    assert set(left.values()) == {6} and len(left) == 6


def test_a_prompt_cannot_break_out_of_the_page(tmp_path):
    film = tmp_path / "turntable_0.mp4"
    film.write_bytes(b"film")
    evil = "</script><script>alert(1)</script>"
    make_study({"A": {evil: [film]}, "B": {evil: [film]}}, tmp_path / "s", "?")
    html, shown = page_of(tmp_path / "s")
    assert html.count("</script>") == 2 and shown["pairs"][0]["prompt"] == evil


def test_what_cannot_be_a_study_is_refused(runs, study, tmp_path):
    objects = find_objects(runs / "Ours")
    with pytest.raises(FileExistsError, match="not empty"):
        make_study({"A": objects, "B": objects}, study, "?")
    with pytest.raises(ValueError, match="two methods"):
        make_study({"A": objects}, tmp_path / "new", "?")
    with pytest.raises(ValueError, match="no prompt in common"):
        make_study({"A": objects, "B": {"else": objects[PROMPTS[0]]}}, tmp_path / "new", "?")
    with pytest.raises(FileNotFoundError, match="no run with"):
        find_objects(tmp_path / "study" / "page")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's script in")
def test_each_rater_sees_every_pair_half_of_them_swapped(study):
    _, shown = page_of(study)
    script = files("redream.tools") / "page" / "study.js"
    code = (
        f"const s = require({json.dumps(str(script))});"
        f"const study = {json.dumps(shown)}; const all = [];"
        "for (let i = 0; i < 40; i++) all.push(s.questions(study, Math.random));"
        "console.log(JSON.stringify([all, s.csv([{rater: 'r', pair: 'p', left: 'a', right: 'b',"
        " chosen: 'a', again: 0, seconds: '1.00'}])]))"
    )
    ran = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    raters, text = json.loads(ran.stdout)
    as_made = {pair["pair"]: pair["left"] for pair in shown["pairs"]}
    kept, orders = Counter(), set()
    for asked in raters:
        once, again = asked[:36], asked[36:]
        assert {q["pair"] for q in once} == set(as_made) and len(again) == 3
        assert sum(q["left"] == as_made[q["pair"]] for q in once) == 18
        before = {q["pair"]: q for q in once}
        for q in again:
            assert q["again"] == 1 and q["left"] == before[q["pair"]]["right"]
        kept.update(q["pair"] for q in once if q["left"] == as_made[q["pair"]])
        orders.add(tuple(q["pair"] for q in once))
    assert len(orders) == 40
    assert min(kept.values()) > 5 and max(kept.values()) < 35  # of 40 raters
    assert text == f"{','.join(COLUMNS)}\nr,p,a,b,a,0,1.00\n"


def get(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as reply:
        return reply.status, reply.read()


def status_of(request):
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request)
    with error.value as reply:
        return reply.code, reply.read().decode()


def test_the_page_and_its_films_are_served_and_nothing_else(served, study):
    _, shown = page_of(study)
    film = f"{served}/films/{shown['pairs'][0]['left']}.mp4"
    whole = (study / "page" / "films" / f"{shown['pairs'][0]['left']}.mp4").read_bytes()
    assert get(f"{served}/")[1] == (study / "page" / "index.html").read_bytes()
    assert get(film) == (200, whole)
    assert get(film, Range="bytes=10-19") == (206, whole[10:20])
    for path in ("/key.json", "/../key.json", "/films/../../key.json", "/films/", "/answers.csv"):
        assert status_of(served + path)[0] == 404


def test_answers_are_written_down_and_false_ones_are_not(served, study):
    key, (_, shown) = read_key(study), page_of(study)
    (first, second, *_) = simulate(key, shown["pairs"], dict.fromkeys(METHODS, 0.0), 1)

    def post(answer, path="/answers"):
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        return urllib.request.Request(served + path, data=body)

    with urllib.request.urlopen(post(first)) as reply:
        assert reply.status == 200
    for false, reason in (
        (first | {"pair": "pair-none"}, "no such pair"),
        (first | {"chosen": second["chosen"] + "x"}, "chosen"),
        (first | {"left": first["right"]}, "not the pair's"),
        (first | {"rater": "a,b\nc"}, "short word"),
        (first | {"seconds": "=1+1"}, "seconds"),
        (b"no json", ""),
        (b"[]", "object"),
        (b"x" * 3000, "short POST"),
    ):
        code, said = status_of(post(false))
        assert code == 400 and reason in said
    assert status_of(post(second, "/elsewhere"))[0] == 400
    with urllib.request.urlopen(post(second)):
        pass
    with (study / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["pair"] for row in rows] == [first["pair"], second["pair"]]
    assert analyse(study, [study / "answers.csv"]).num_answers == 2


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the page's script in")
def test_the_page_takes_a_raters_answers_to_the_file(served, study):
    page = Path(__file__).with_name("page.js")
    command = ["node", str(page), served, "Ours"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(ran.stdout) == {"done": 39, "kept": "Your answers were received."}
    found = analyse(study, [study / "answers.csv"])
    assert (found.num_raters, found.num_answers) == (1, 36)
    shares = {(each.method, each.other): each.share for each in found.preferences}
    assert shares["Good", "Ours"] == 0.0 and shares["Ours", "Poor"] == 1.0
    same, repeated = found.consistent
    assert repeated == 3 and same >= 0


def test_known_preferences_are_found(study):
    key, (_, shown) = read_key(study), page_of(study)
    truth = {"Ours": 1.2, "Good": 0.0, "Poor": -1.2}
    write_answers(study / "answers.csv", simulate(key, shown["pairs"], truth, 30))
    found = analyse(study, [study / "answers.csv"])
    assert found.num_raters == 30 and found.num_answers == 30 * 36
    for each in found.preferences:
        expected = 1.0 / (1.0 + np.exp(truth[each.other] - truth[each.method]))
        assert each.share == pytest.approx(expected, abs=0.06)
        assert each.clustered[0] <= expected <= each.clustered[1]
        assert each.num_answers == 360
    assert [each.method for each in found.strengths] == ["Ours", "Good", "Poor"]
    for each in found.strengths:
        assert each.strength == pytest.approx(truth[each.method], abs=0.25)
        assert each.low < truth[each.method] < each.high
    text = as_markdown(found)
    assert "30 raters, 1080 answers" in text and "| Good | Ours |" in text


def test_leaning_to_the_left_is_seen_and_does_not_favour_a_method(study):
    key, (_, shown) = read_key(study), page_of(study)
    truth = dict.fromkeys(METHODS, 0.0)
    write_answers(study / "answers.csv", simulate(key, shown["pairs"], truth, 30, bias=1.0))
    found = analyse(study, [study / "answers.csv"])
    assert found.left[1] > 0.6
    assert all(each.clustered[0] < 0.5 < each.clustered[1] for each in found.preferences)


def test_files_are_joined_and_an_answer_counts_once(study, tmp_path):
    key, (_, shown) = read_key(study), page_of(study)
    answers = list(simulate(key, shown["pairs"], dict.fromkeys(METHODS, 0.0), 2))
    write_answers(tmp_path / "one.csv", answers[:36])
    write_answers(tmp_path / "all.csv", answers)
    found = analyse(study, [tmp_path / "one.csv", tmp_path / "all.csv", tmp_path / "one.csv"])
    assert found.num_raters == 2 and found.num_answers == 72
    answers[3]["pair"] = "pair-other"
    write_answers(tmp_path / "bad.csv", answers)
    with pytest.raises(ValueError, match="bad.csv, line 5: there is no such pair"):
        analyse(study, [tmp_path / "bad.csv"])
    write_answers(tmp_path / "none.csv", [])
    with pytest.raises(ValueError, match="no answer yet"):
        analyse(study, [tmp_path / "none.csv"])


def test_raters_and_prompts_that_differ_widen_the_interval():
    rng = np.random.default_rng(0)
    answers = []
    for rater in range(10):  # half of the raters always prefer A, the others always B
        for prompt in range(20):
            winner, loser = ("A", "B") if rater % 2 else ("B", "A")
            answers.append(Answer(str(rater), str(prompt), winner, loser, bool(rng.integers(2))))
    (found,) = preferences(answers)
    assert found.share == 0.5 and found.num_answers == 200
    assert found.naive[1] - found.naive[0] < 0.14
    assert found.clustered[1] - found.clustered[0] > 0.5


def test_bradley_terry_of_two_is_the_log_odds():
    fitted = bradley_terry(np.array([[0.0, 30.0], [10.0, 0.0]]))
    assert fitted[0] - fitted[1] == pytest.approx(np.log(30.5 / 10.5))
    never = bradley_terry(np.array([[0.0, 9.0], [0.0, 0.0]]))
    assert np.isfinite(never).all() and never[0] - never[1] == pytest.approx(np.log(19.0))


def test_bradley_terry_maximises_the_likelihood():
    wins = np.array([[0, 8, 12], [4, 0, 9], [2, 5, 0]], dtype=float)
    fitted = bradley_terry(wins)
    counts = wins + 0.5 * (wins + wins.T > 0)
    games = counts + counts.T
    chance = 1.0 / (1.0 + np.exp(fitted[None, :] - fitted[:, None]))
    # At the maximum each method wins as often as it is expected to.
    np.testing.assert_allclose((games * chance).sum(1), counts.sum(1), atol=1e-6)


def test_repeated_pairs_measure_consistency_alone():
    first = Answer("r", "p", "A", "B", True, pair="1")
    other = Answer("r", "q", "A", "B", True, pair="2")
    again = [
        Answer("r", "p", "A", "B", False, True, "1"),
        Answer("r", "q", "B", "A", False, True, "2"),
    ]
    assert consistency([first, other, *again]) == (1, 2)
    (found,) = preferences([first, other, *again], num_draws=10)
    assert (found.num_wins, found.num_answers) == (2, 2)
    assert strengths([]) == []


def test_the_command_line(runs, tmp_path, capsys):
    out = tmp_path / "study"
    named = [f"{method}={runs / method}" for method in METHODS[:2]]
    assert main(["study", "make", *named, "--out", str(out)]) == 0
    assert "12 pairs" in capsys.readouterr().out
    key, (_, shown) = read_key(out), page_of(out)
    truth = {"Ours": 5.0, "Good": -5.0}
    write_answers(out / "answers.csv", simulate(key, shown["pairs"], truth, 2))
    assert main(["study", "analyse", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["preferences"][0]["num_answers"] == 24
    assert main(["study", "make", "Ours", "--out", str(tmp_path / "x")]) == 2
    assert "METHOD=FOLDER" in capsys.readouterr().err
    assert main(["study", "serve", str(tmp_path)]) == 2
    assert "redream study make" in capsys.readouterr().err

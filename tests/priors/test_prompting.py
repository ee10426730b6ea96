"""View-dependent prompting, each choice against its paper's formulas."""

import math

import pytest
import torch

from redream.cameras import turntable
from redream.losses import repel
from redream.priors import BASE, GaussianPrior, Guided, Repelled
from redream.priors.prompting import DebiasedPrompt, PerpNeg, ViewWords
from redream.testing.priors import noisy_rows
from redream.types import NoisyRows

TABLE = torch.eye(3)[:, None]  # front, side, back, told apart by their axis
FRONT, SIDE, BACK = TABLE[:, 0]


def test_the_view_in_words():
    prompting = ViewWords()
    assert prompting.spoken("a dog", "back") == "a dog, back view"
    assert prompting.words("a dog", "back") == "a dog"
    seen = prompting.condition(TABLE, turntable(4))  # 0, 90, 180, 270 degrees
    assert torch.equal(seen.text[:, 0], torch.stack([FRONT, SIDE, BACK, SIDE]))
    assert seen.repelled == ()
    assert ViewWords(template="{view} of {prompt}").spoken("a dog", "side") == "side of a dog"
    with pytest.raises(ValueError, match="must contain"):
        ViewWords(template="a {view}")


def test_views_are_named_by_the_angles_given():
    assert ViewWords(front_deg=30.0).view_names(turntable(8))[1] == "side"  # 45 degrees
    assert ViewWords().view_names(turntable(8))[1] == "front"


def test_perp_neg_interpolates_between_neighbouring_views():
    seen = PerpNeg().condition(TABLE, turntable(8)).text[:, 0]
    expected = [FRONT, (FRONT + SIDE) / 2, SIDE, (SIDE + BACK) / 2, BACK, (SIDE + BACK) / 2]
    torch.testing.assert_close(seen[:6], torch.stack(expected))


def test_perp_negs_strengths():
    """a exp(-b r) + c, with the parameters of the authors' code, at 0, 45, ... degrees."""
    side, front = PerpNeg().condition(TABLE, turntable(8)).repelled
    assert torch.equal(side.text[0, 0], SIDE) and torch.equal(front.text[0, 0], FRONT)
    full, half = math.exp(-0.5), math.exp(-0.25)
    fronts = [4 * full - 2.426, 4 * half - 2.426, full + 0.967, half + 0.967, 1.967]
    torch.testing.assert_close(front.weight[:5], torch.tensor(fronts), atol=1e-5, rtol=0)
    sides = [1.574, 4 * half - 2.426, full - 0.606, half - 0.606, 0.394]
    torch.testing.assert_close(side.weight[:5], torch.tensor(sides), atol=1e-5, rtol=0)


def test_only_the_perpendicular_part_repels():
    uncond, cond, other = torch.randn(3, 2, 4, 3, 3)
    wanted = cond - uncond
    axes = (1, 2, 3)
    turned = repel(uncond, cond, [(other, torch.tensor([0.7, 0.0]))])
    assert torch.equal(turned[1], cond[1])
    pushed = turned - cond
    assert ((pushed * wanted).sum(axes)[0]).abs() < 1e-4  # along the wish nothing changes
    perpendicular = (other - uncond) - pushed / -0.7
    ratio = perpendicular[0] / wanted[0]
    torch.testing.assert_close(ratio, ratio[0, 0, 0].expand_as(ratio), atol=1e-3, rtol=1e-3)
    parallel = uncond + 3.0 * wanted
    torch.testing.assert_close(
        repel(uncond, cond, [(parallel, torch.ones(2))]), cond, atol=1e-5, rtol=0
    )


def test_repelled_texts_join_the_one_forward_pass(prior):
    rows = noisy_rows(prior, (BASE,) * 2)
    negative, other = prior.encode_prompts(["", "a dog, side view"]).split(1)
    weight = torch.tensor([0.5, 1.5])
    counts, plain = [], prior.predict_noise

    def counting(rows: NoisyRows):
        counts.append(len(rows.latents))
        return plain(rows)

    prior.predict_noise = counting
    repelled = (Repelled(other.expand_as(rows.text), weight),)
    with torch.no_grad():
        (guided,) = prior.predict_guided(Guided(rows, 4.0, negative, repelled))
        eps = [plain(rows._replace(text=t.expand_as(rows.text))) for t in (negative, other)]
        wanted = repel(eps[0], plain(rows), [(eps[1], weight)])
    assert counts == [6]
    torch.testing.assert_close(guided, eps[0] + 4.0 * (wanted - eps[0]), atol=1e-5, rtol=0)


def test_repelling_needs_a_negative_even_at_scale_one():
    prior = GaussianPrior()
    rows = noisy_rows(prior, (BASE,))
    repelled = (Repelled(rows.text, torch.ones(1)),)
    with pytest.raises(ValueError, match="negative"):
        prior.predict_guided(Guided(rows, 1.0, None, repelled))


def test_words_that_contradict_a_view_are_dropped():
    prompting = DebiasedPrompt()
    prompt = "a smiling dog with big eyes, and a tail"
    assert prompting.words(prompt, "back") == "a dog with big and a tail"
    assert prompting.words(prompt, "front") == "a smiling dog with big eyes, and a"
    assert prompting.words(prompt, "side") == prompt
    assert prompting.spoken("a smiling dog", "back") == "a dog, back view"
    assert prompting.words("smiling", "back") == "smiling"  # never nothing
    kept = DebiasedPrompt(keep=["Smiling"], contradictions={"side": ["dog"], "back": ["smiling"]})
    assert kept.words("a smiling dog", "back") == "a smiling dog"
    assert kept.words("a smiling dog", "side") == "a smiling"
    with pytest.raises(ValueError, match="no view above"):
        DebiasedPrompt(contradictions={"above": ["dog"]})


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A BERT of random weights that knows a few words."""
    from transformers import BertConfig, BertForMaskedLM, BertTokenizer

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = "this image is depicting a view of front side back smiling dog happy".split()
    tokenizer = BertTokenizer(vocab={word: i for i, word in enumerate(special + words)})
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, initializer_range=1.0,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("bert")
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_language_model_decides_which_words_contradict(bert):
    """The paper's ratio P(view | prompt) / P(view), written out with BERT itself."""
    from transformers import BertForMaskedLM, BertTokenizer

    model, tokenizer = BertForMaskedLM.from_pretrained(bert), BertTokenizer.from_pretrained(bert)
    views = ("front", "side", "back")
    ids = tokenizer.convert_tokens_to_ids(list(views))

    def odds(prompt):
        tokens = tokenizer(
            f"This image is depicting a [MASK] view of {prompt}", return_tensors="pt"
        )
        logits = model(**tokens).logits[0, tokens.input_ids[0].tolist().index(4)]
        chosen = logits.softmax(-1)[ids]
        return chosen / chosen.sum()

    prompt = "a smiling happy dog"
    words = prompt.split()
    kept = {view: [] for view in views}
    with torch.no_grad():
        for index, word in enumerate(words):
            part = odds(" ".join(words[:index] + words[index + 1 :]))
            ratio = odds(prompt) / torch.lerp(part, odds(prompt), 0.5)
            for view, value in zip(views, ratio, strict=True):
                if value >= 0.95:
                    kept[view].append(word)
    prompting = DebiasedPrompt(language_model=str(bert))
    for view in views:
        assert prompting.words(prompt, view) == (" ".join(kept[view]) or prompt)
    assert len({tuple(left) for left in kept.values()}) > 1  # the model did drop something


def test_a_language_model_out_of_reach_is_one_line(tmp_path):
    with pytest.raises(ValueError, match="set language_model to null") as error:
        DebiasedPrompt(language_model=str(tmp_path)).words("a dog", "back")
    assert "\n" not in str(error.value)

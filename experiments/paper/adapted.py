"""Adapters trained alone on a prompt's retrieved assets (Eq. 5), made once for several figures."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from jaxtyping import Float
from torch import Tensor

from experiments.paper.locks import digest, keep, slug
from experiments.paper.world import HERE, OURS, ROOT
from redream.adapters import Adapter
from redream.cameras import VIEW_NAMES
from redream.data import RetrievalDataModule
from redream.method.adaptation import adapt
from redream.method.module import ReDream
from redream.metrics import ClipViewJudge
from redream.metrics.prior_balance import sample_pictures
from redream.mini.prepare import WEIGHTS
from redream.priors import Prior
from redream.retrieval import Encoder
from redream.schedules import value_at
from redream.tools.lightning import configured

CONFIG = ROOT / "configs" / "default.yaml"
VARIANTS: dict[str, tuple[str, ...]] = {
    "layers and tokens": (),
    "layers only": ("--model.adapter.init_args.learn_prefixes=false",),
    "Eq. 5 to the letter": (
        "--model.adapter.init_args.lowest_time=0.0",
        "--model.adapter.init_args.max_emphasis=0.0",
        "--model.adapter.init_args.view_contrast=0.0",
        "--model.adapter.init_args.anchor=0.0",
        "--model.adapter.init_args.cosine_decay=false",
        "--model.adaptation.balanced_views=false",
        "--model.pictures.white_share=0.0",
    ),
}
"""Fig. 14's two, by the rule of configs/default.yaml, whose contrast of views is ours; the first is
the default, whose adapter the other figures take. The third is the paper's rule alone."""

WHOLE, LAYERS, LETTER_ADAPTER = VARIANTS
RAW = "raw"
TABLE1 = "as in a run of Table 1"


def options_of(variant: str) -> tuple[str, ...]:
    """What a variant lays over configs/default.yaml; :data:`TABLE1` has that table's batch."""
    if variant != TABLE1:
        return VARIANTS[variant]
    run = yaml.safe_load((HERE / "embedded" / f"{OURS}.yaml").read_text("utf-8"))["model"]
    steps = run["adapter"]["init_args"]["max_steps"]
    return (
        f"--model.adaptation.batch_size={run['adaptation']['batch_size']}",
        f"--model.adapter.init_args.max_steps={steps}",
    )


@dataclass(frozen=True)
class Adapted:
    """A prompt's method and data, with the adapter trained.

    Attributes:
        prompt: The prompt.
        model: The method.
        data: The assets, retrieved, turned and rendered.
        facts: Steps and seconds of the adapter's training, and seconds of what came before.
    """

    prompt: str
    model: ReDream
    data: RetrievalDataModule
    facts: dict[str, Any]

    @property
    def prior(self) -> Prior:
        """phi, with omega attached."""
        return self.model.prior

    @property
    def adapter(self) -> Adapter:
        """The light adapter: omega and e_psi."""
        assert self.model.adapter is not None
        return self.model.adapter

    @property
    def guidance_scale(self) -> float:
        """The run's own."""
        return value_at(self.model.guidance.scale, 0)

    @property
    def over_white(self) -> Float[Tensor, "B 3 H W"]:
        """The assets' renders, which are all that the adapter has seen, over white."""
        references = self.data.references
        return references.over(references.rgba.new_ones(1, 3, 1, 1))

    def sample(
        self, prompt: str, view: str, num: int, raw: bool = False
    ) -> Float[Tensor, "num 3 H W"]:
        """Samples a prompt from a view, from the same noise for every view and for both priors."""
        adapter = None if raw else self.adapter
        return sample_pictures(
            self.prior, [prompt] * num, self.guidance_scale, 0, adapter, view
        ).cpu()


def adapted(prompt: str, root: Path, variant: str = WHOLE) -> Adapted:
    """Retrieves a prompt's assets and trains the adapter on them, unless that is done.

    Waits while another process trains it.

    Args:
        prompt: The prompt.
        root: Where adapters are kept.
        variant: One of :data:`VARIANTS`, or :data:`TABLE1`.

    Returns:
        What the figures need.

    Raises:
        ValueError: If it was trained with other settings.
    """
    options = options_of(variant)
    made = configured(CONFIG, f"--prompt={prompt}", *options)
    model, data = made.model, made.datamodule
    seconds = set_up(data)
    folder = root / variant.replace(" ", "_") / slug(prompt)

    def train() -> dict[str, Any]:
        started = time.monotonic()
        steps = adapt(model.adaptation(data))
        facts = {"steps": steps, "adaptation": time.monotonic() - started, **seconds}
        model.adapter.save(folder)
        return facts

    facts = keep(folder / "facts.json", digest(CONFIG.read_bytes(), options), train, wait=True)
    assert facts is not None
    model.adapter.load(folder)
    return Adapted(prompt, model, data, facts)


def set_up(data: RetrievalDataModule) -> dict[str, float]:
    """Fig. 2's left side, with the seconds that it takes once its CLIP is loaded.

    Returns:
        ``retrieval`` (the prompt's embedding, the search, the meshes and their fronts) and
        ``rendering`` of the references.
    """
    assert data.retriever is not None
    data.retriever.retrieve(data.prompt, data.num_assets)  # loads the CLIP
    started = time.monotonic()
    data.prepare_data()
    retrieved = time.monotonic()
    data.setup("fit")
    return {"retrieval": retrieved - started, "rendering": time.monotonic() - retrieved}


def evaluator() -> Encoder:
    """The CLIP that judges, which neither retrieved nor trained anything."""
    return Encoder(str(WEIGHTS / "evaluation_clip"))


def judge_accuracy(found: Adapted, judge: ClipViewJudge) -> float:
    """How often the judge is right on the assets' own renders, whose views are known."""
    references = found.data.references
    names = found.model.prompting.view_names(references.cameras)
    truth = torch.tensor([VIEW_NAMES.index(name) for name in names])
    right = 0
    for index, caption in enumerate(references.captions):
        mine = references.asset_index == index
        seen = judge.probabilities(caption, found.over_white[mine]).argmax(1)
        right += int((seen == truth[mine]).sum())
    return right / len(truth)

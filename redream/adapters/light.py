"""The light adapter omega with learned view prefixes e_psi (Sec. 4.4, Eq. 5)."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from redream.adapters._early_stopping import EarlyStopping
from redream.adapters._lora_file import (
    PREFIX_FILE,
    load_lora,
    load_tensors,
    save_lora,
)
from redream.adapters.base import ATTENTION, Adapter, LoraHost
from redream.cameras import VIEW_NAMES
from redream.tensor_files import write_tensors

_RISE_STEPS = 20


class LightAdapter(Adapter):
    """LoRA omega and one learned prefix for each of front, side and back.

    Trained on cat(e_psi, an asset's caption), then scored with cat(e_psi, the user's prompt) in
    the frozen prior's stead.

    Args:
        rank: Rank of the update.
        lora_alpha: The update is scaled by ``lora_alpha / rank``.
        learning_rate: Of the LoRA omega.
        prefix_learning_rate: Of the prefixes e_psi.
        target_modules: Endings of the names of the adapted linear layers of the UNet.
        learn_prefixes: Whether e_psi is trained; fixed at its words otherwise (Fig. 14a).
        prefix_words: What a prefix starts from; ``{view}`` stands for front, side or back.
        max_steps: Steps to train at most; None for no budget.
        patience: Held-out losses in a row without improvement after which to stop; None to
            ignore them.
        min_improvement: Relative fall of the held-out loss that counts as improvement.
        held_out_every: Every so many-th picture is held out for early stopping.
        lowest_time: Share of the diffusion times, from the clean end, that omega neither learns
            nor scores: there the frozen prior serves. What a view is, is decided while there is
            much noise; the looks of the assets, which omega is not to bring along, later.
        max_emphasis: Bound of the weight sigma_t^2 / alpha_t^2 with which Eq. 5's error of the
            noise counts as one of the clean picture; 0 weighs all times alike, as printed. The
            error of the noise alone is all but blind where there is much noise. A bound below the
            weight at ``lowest_time`` is no emphasis at all, which is warned of.
        view_contrast: Weight, beside Eq. 5, of telling views apart for the user's prompt
            (:func:`redream.losses.view_contrast_loss`). Triples the rows of a step. A prior that
            hardly knows views learns them in a few hundred steps with it, not without.
        anchor: Weight of keeping what two views of the user's prompt share where the frozen prior
            has it, so that views are learned and the assets' looks are not. Only beside
            ``view_contrast``.
        cosine_decay: Whether the learning rates rise in 20 steps and fall to 0 over
            ``max_steps``.
        init_from: Folder that an adapter was saved to, to start from; None starts as a no-op.
    """

    finishes = True

    def __init__(
        self,
        rank: int = 4,
        lora_alpha: float = 4.0,
        learning_rate: float = 1e-4,
        prefix_learning_rate: float = 5e-4,
        target_modules: Sequence[str] = ATTENTION,
        learn_prefixes: bool = True,
        prefix_words: str = "{view} view of",
        max_steps: int | None = 400,
        patience: int | None = None,
        min_improvement: float = 0.0,
        held_out_every: int = 10,
        lowest_time: float = 0.0,
        max_emphasis: float = 0.0,
        view_contrast: float = 0.0,
        anchor: float = 0.0,
        cosine_decay: bool = False,
        init_from: str | None = None,
    ) -> None:
        super().__init__()
        if "{view}" not in prefix_words:
            raise ValueError(f"prefix_words must contain {{view}}, unlike {prefix_words!r}")
        if held_out_every < 2:
            raise ValueError("held_out_every must be 2 or more, or nothing is left to train on")
        if not 0.0 <= lowest_time < 1.0:
            raise ValueError(f"lowest_time is {lowest_time}, and must be at least 0 and below 1")
        weights = {"max_emphasis": max_emphasis, "view_contrast": view_contrast, "anchor": anchor}
        for option, value in weights.items():
            if value < 0.0:
                raise ValueError(f"{option} is {value}, and must not be negative")
        if anchor and not view_contrast:
            raise ValueError("anchor holds what view_contrast trains: set view_contrast too")
        if cosine_decay and max_steps is None:
            raise ValueError("cosine_decay needs max_steps to decay over: set it")
        self.rank = rank
        self.lora_alpha = lora_alpha
        self.learning_rate = learning_rate
        self.prefix_learning_rate = prefix_learning_rate
        self.target_modules = tuple(target_modules)
        self.learn_prefixes = learn_prefixes
        self.prefix_words = prefix_words
        self.held_out_every = held_out_every
        self.lowest_time, self.max_emphasis = lowest_time, max_emphasis
        self.view_contrast, self.anchor = view_contrast, anchor
        self.cosine_decay = cosine_decay
        self.init_from = init_from
        self.early_stopping = EarlyStopping(max_steps, patience, min_improvement)
        self.stops = max_steps is not None or patience is not None

    @property
    def name(self) -> str:
        """``omega``."""
        return "omega"

    def attach(self, prior: LoraHost) -> None:
        """Creates the LoRA and the prefixes; see :meth:`Adapter.attach`."""
        self._component = prior.component
        self.lora = prior.add_lora(
            self.name, self.rank, self.lora_alpha, self.target_modules, self.lowest_time
        )
        words = [prior.embed_words(self.prefix_words.format(view=view)) for view in VIEW_NAMES]
        longest = max(len(tokens) for tokens in words)
        # A view whose words make fewer tokens repeats its last one: all prefixes are of a length.
        padded = [
            torch.cat([tokens, tokens[-1:].expand(longest - len(tokens), -1)]) for tokens in words
        ]
        self.view_prefixes = nn.Parameter(torch.stack(padded), requires_grad=self.learn_prefixes)
        if self.init_from is not None:
            self.load(self.init_from)

    def prefixes(self, view_names: Sequence[str]) -> Float[Tensor, "B P D"]:
        """The prefix tokens e_psi of each view, with gradients.

        Args:
            view_names: ``front``, ``side`` or ``back`` for each row.

        Returns:
            The token embeddings.
        """
        return self.view_prefixes[[VIEW_NAMES.index(name) for name in view_names]]

    def split(self, num: int) -> tuple[Int[Tensor, " T"], Int[Tensor, " H"]]:
        """Splits ``num`` pictures into those to train on and those held out, at least one.

        A single picture is both.
        """
        if num == 1:
            return torch.zeros(1, dtype=torch.long), torch.zeros(1, dtype=torch.long)
        every = min(self.held_out_every, num)
        held_out = torch.arange(num) % every == every - 1
        return torch.nonzero(~held_out)[:, 0], torch.nonzero(held_out)[:, 0]

    def stopped(self, step: int) -> bool:
        """Whether adaptation is over at a step, counted from 0."""
        return self.early_stopping.stopped(step)

    def finish(self) -> None:
        """It has learned all that it shall; see :meth:`Adapter.finish`."""
        self.early_stopping.finished = True

    def learning_rate_scale(self, step: int) -> float:
        """Factor on the learning rates at a step; see ``cosine_decay``."""
        last = self.early_stopping.max_steps
        if not self.cosine_decay or not last:
            return 1.0
        rising = min(1.0, (step + 1) / _RISE_STEPS)
        return rising * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / last)))

    def observe(self, held_out_loss: float) -> None:
        """Takes note of Eq. 5 on the held-out pictures, for early stopping."""
        self.early_stopping.observe(held_out_loss)

    def settings(self) -> dict[str, object] | None:
        """Its arguments; a subclass may have more, and says its own."""
        if type(self) is not LightAdapter:
            return None
        stopping = self.early_stopping
        return {name: value for name, value in vars(self).items() if name[0] != "_"} | {
            "max_steps": stopping.max_steps,
            "patience": stopping.patience,
            "min_improvement": stopping.min_improvement,
            "init_from": None,  # it is what the adapter starts from
            "training": None,
        }

    def parameter_groups(self) -> list[dict[str, object]]:
        """Two groups, ``omega`` and ``e_psi``; the second only where it is learned."""
        groups: list[dict[str, object]] = [
            {"name": "omega", "params": list(self.lora.parameters()), "lr": self.learning_rate}
        ]
        if self.learn_prefixes:
            groups.append(
                {"name": "e_psi", "params": [self.view_prefixes], "lr": self.prefix_learning_rate}
            )
        return groups

    def save(self, directory: str | Path) -> None:
        """Saves omega in diffusers' LoRA format, and the prefixes beside it.

        Args:
            directory: Folder to write to; made where it is missing.
        """
        folder = Path(directory)
        folder.mkdir(parents=True, exist_ok=True)
        save_lora(folder, self.lora, self._component, self.rank, self.lora_alpha)
        prefixes = dict(zip(VIEW_NAMES, self.view_prefixes, strict=True))
        write_tensors(folder / PREFIX_FILE, prefixes, {"words": self.prefix_words})

    def load(self, directory: str | Path) -> None:
        """Reads what :meth:`save` wrote; attach the adapter first.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is damaged or belongs to another adapter.
        """
        folder = Path(directory)
        tensors = load_tensors(folder / PREFIX_FILE)
        shape = self.view_prefixes.shape[1:]
        if any(view not in tensors or tensors[view].shape != shape for view in VIEW_NAMES):
            raise ValueError(
                f"{folder / PREFIX_FILE} has other prefixes: use the prefix_words and the prior "
                "it was made with"
            )
        load_lora(folder, self.lora, self._component)
        with torch.no_grad():
            self.view_prefixes.copy_(torch.stack([tensors[view] for view in VIEW_NAMES]))

"""LightningCLI on ReDream's module and data, as a command and from Python."""

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.accelerators import MPSAccelerator
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import StrategyRegistry

from redream.callbacks.status import Status
from redream.errors import first_line
from redream.representations.checkpoint import read_checkpoint_or_previous
from redream.signals import signals_answered
from redream.startup import settle, uncollected
from redream.tools.devices import devices_of
from redream.tools.export_options import add_export_options, hand_to_export
from redream.tools.going_on import last_or_before, seed_of, while_restoring
from redream.tools.output import require_writable
from redream.tools.parser import Parser, prepare_parser
from redream.tools.run_folder import make_room, owned, require_no_links
from redream.tools.typed_commands import add_command_option
from redream.tools.whole_config import WholeConfig
from redream.training.checkpoints import WholeCheckpoints, require_same_origin
from redream.training.limits import require_workable
from redream.training.memory import require_memory
from redream.training.parallel import ParticleParallel
from redream.training.stopping import StopBetweenSteps


class ReDreamCLI(LightningCLI):
    """LightningCLI with the top-level keys ``prompt``, for the data, and ``export``.

    Args:
        module: The LightningModule behind the key ``model``.
        data: The LightningDataModule behind the key ``data``.
        args: The command line: the verb first, where there is one.
        **named: What LightningCLI takes.
    """

    def __init__(
        self,
        module: type[LightningModule],
        data: type[LightningDataModule],
        *,
        args: Sequence[str],
        **named: Any,  # noqa: ANN401
    ) -> None:
        self.verb = args[0] if args else ""
        super().__init__(module, data, args=list(args), **named)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds ``--prompt``, in YAML the line ``prompt: ...``, and the options of the export."""
        parser.add_argument("--prompt", type=str, default="", help="What to make, in a few words.")
        parser.link_arguments("prompt", "data.prompt")
        parser.add_argument(
            "--stages",
            type=dict[str, Any] | None,
            default=None,
            help="Runs that follow one another, what is different in each; configs/stages.yaml.",
        )
        add_command_option(parser)
        parser.add_argument("--stage", type=str | None, default=None, help="The one to run alone.")
        add_export_options(parser)

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's verbs, without the switch that would let a checkpoint execute."""
        skipped = LightningCLI.subcommands()
        return {verb: {*arguments, "weights_only"} for verb, arguments in skipped.items()}

    def _prepare_subcommand_parser(
        self,
        klass: type,
        subcommand: str,
        **kwargs: Any,  # noqa: ANN401
    ) -> LightningArgumentParser:
        """Makes the parser of the verb that is called; each takes a fifth of a second."""
        if subcommand == self.verb:
            return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        return self.init_parser(**kwargs)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401
        """Parses the arguments; they are the command line, so Lightning need not warn of them.

        Lightning reads a checkpoint's hyperparameters right after this, so it is looked at here;
        where it is damaged, the one before takes its place.
        """
        self.config = parser.parse_args(args)
        verb = self.config.get("subcommand")
        config: Any = self.config[verb] if verb else self.config
        if "model.seed" in config and config["model.seed"] is None:
            config["model.seed"] = seed_of(config) or 0
        path = config.get("ckpt_path")
        if path == "last":
            path = last_or_before(Path(config.trainer.default_root_dir or "."))
        if path is None or path in ("best", "last"):
            return
        found, checkpoint = read_checkpoint_or_previous(Path(path))
        prompt = (config.get("prompt") or "").strip() or None
        model_seed = config.get("model.seed")
        require_same_origin(checkpoint, prompt, seed=seed_of(config), model_seed=model_seed)
        config.ckpt_path = str(found)

    def _parse_ckpt_path(self) -> None:
        """Leaves a checkpoint's hyperparameters alone: the config.yaml of its run has them."""

    def instantiate_classes(self) -> None:
        """Makes the trainer and the module, and finds out whether they can work together."""
        super().instantiate_classes()
        particles = getattr(self.model, "particles", None)
        if particles is not None:
            require_workable(self.trainer, len(particles), self.model.particles_per_step)
            if self.subcommand == "fit" and hasattr(self.datamodule, "image"):
                self.model.require_picture(self.datamodule)
            device = self.trainer.strategy.root_device
            if device.type == "cuda" and self.subcommand == "fit":
                free, _ = torch.cuda.mem_get_info(device)
                require_memory(self.model.predicted_memory(), free)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401
        """Makes the trainer, with checkpoints that are whole or absent."""
        own = self._get(self.config_init, "trainer.plugins") or []
        plugins = [*(own if isinstance(own, list) else [own]), WholeCheckpoints()]
        has_environment = any(isinstance(each, ClusterEnvironment) for each in plugins)
        if SLURMEnvironment.detect() and not has_environment:
            # its SIGUSR1 would save under another name and requeue at once: SIGTERM saves
            plugins.append(SLURMEnvironment(auto_requeue=False))
        if self._get(self.config_init, "trainer.accelerator") == "auto" and has_apple_gpu():
            kwargs["accelerator"] = "cpu"  # there are no kernels for Apple's GPU
        particles, is_ours = getattr(self.model, "particles", None), not has_environment
        if particles is not None and is_ours and not SLURMEnvironment.detect():
            asked = self._get(self.config_init, "trainer")
            num = len(particles), self.model.particles_per_step
            kwargs |= devices_of(vars(asked), *num, self.parser.typed)  # type: ignore[attr-defined]
        trainer = super().instantiate_trainer(plugins=plugins, **kwargs)
        for each in trainer.checkpoint_callbacks:
            if isinstance(each, ModelCheckpoint):
                each._enable_version_counter = False  # a folder's last.ckpt is its last run's
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Adds what answers signals between two steps, and what says where the run is."""
        return super()._instantiate_trainer(config, [*callbacks, StopBetweenSteps(), Status()])

    def _run_subcommand(self, subcommand: str) -> None:
        """Runs the verb in a folder of its own; says it where a checkpoint does not fit."""
        config = self.config[subcommand]
        folder = Path(config.trainer.default_root_dir or ".")
        with self.owned(folder):
            if subcommand == "fit":
                self.make_room(folder, config.ckpt_path)
            settle()
            try:
                super()._run_subcommand(subcommand)
            except (ValueError, OSError):
                raise
            except Exception as error:  # what a checkpoint holds can fail in any way
                if not while_restoring(error):
                    raise
                what = f"{type(error).__name__}: {first_line(error)}"
                raise ValueError(
                    f"cannot go on from {config.ckpt_path}: it does not fit ({what})"
                ) from error

    def owned(self, folder: Path) -> AbstractContextManager[None]:
        """The run's hold on its folder."""
        return owned(folder)

    def make_room(self, folder: Path, checkpoint: str | None) -> None:
        """Moves an earlier run's outputs aside, unless this run goes on with them."""
        make_room(folder, checkpoint)

    def before_fit(self) -> None:
        """Says it where there is nothing to go on from: a kill may have come very early."""
        folder = self._folder_without_last()
        if folder is not None:
            print(f"redream: no last.ckpt in {folder} yet: starting at step 0", file=sys.stderr)

    def before_predict(self) -> None:
        """Refuses to preview, measure or export particles that were never trained."""
        folder = self._folder_without_last()
        if folder is not None:
            raise FileNotFoundError(f"--ckpt_path last: there is no last.ckpt in {folder}")

    before_validate = before_test = before_predict

    def _folder_without_last(self) -> Path | None:
        """Where there should be checkpoints, if the last was asked for and there is none."""
        if self.config[self.subcommand].ckpt_path != "last":
            return None
        savers = self.trainer.checkpoint_callbacks
        if any(
            each._find_last_checkpoints(self.trainer)
            for each in savers
            if isinstance(each, ModelCheckpoint)
        ):
            return None
        return Path(self.trainer.default_root_dir, "checkpoints")

    def before_instantiate_classes(self) -> None:
        """Finds out before the heavy work whether there is a prompt and room for the output."""
        config = self.config if self.subcommand is None else self.config[self.subcommand]
        self.parser.require_classes(config)  # type: ignore[attr-defined]
        if not config.prompt.strip():
            raise ValueError('the prompt is empty; give one, as in --prompt "a striped dog"')
        if self.subcommand in ("validate", "test", "predict") and config.ckpt_path is None:
            raise ValueError(
                f"`redream {self.subcommand}` takes a checkpoint, as its particles would be "
                "untrained: give --ckpt_path, as in --ckpt_path outputs/demo/checkpoints/last.ckpt"
            )
        if config.stages is not None:
            raise ValueError("stages are for `redream fit`; else give the config.yaml of one run")
        folder = Path(config.trainer.default_root_dir or ".")
        require_writable(folder)
        require_no_links(folder)
        if config.get("data.assets") is not None and not config.get("data.chosen"):
            # an index would be opened for nothing
            config.data.retriever = config.data.store = None
        hand_to_export(config)


def has_apple_gpu() -> bool:
    """Whether Lightning's ``auto`` would take Apple's GPU."""
    return MPSAccelerator.is_available() and not torch.cuda.is_available()


def configured(config: str | Path, *arguments: str) -> ReDreamCLI:
    """Makes what a configuration describes, without running it: the road from Python.

    Args:
        config: A YAML file such as ``configs/default.yaml``.
        *arguments: More options, as on the command line: ``"--prompt=a golden vase"``.

    Returns:
        A command with its ``trainer``, ``model`` and ``datamodule``; generate with
        ``made.trainer.fit(made.model, made.datamodule)``.

    Raises:
        ValueError: If the configuration is wrong; one line.
    """
    from redream.data import RetrievalDataModule
    from redream.method.module import ReDream

    return run(ReDream, RetrievalDataModule, [f"--config={config}", *arguments], verb=False)


def run(
    module: type[LightningModule],
    data: type[LightningDataModule],
    arguments: Sequence[str],
    verb: bool = True,
    cli: type[ReDreamCLI] = ReDreamCLI,
) -> ReDreamCLI:
    """Loads the plugins, then parses the arguments and runs the verb.

    Args:
        module: The LightningModule behind the key ``model``.
        data: The LightningDataModule behind the key ``data``.
        arguments: The verb and its options.
        verb: Whether there is a verb to run; without one everything is made and nothing runs.
        cli: The kind of command.

    Returns:
        The finished command, with its ``trainer``, ``model`` and ``datamodule``.

    Raises:
        ValueError: If something is wrong that the user can mend, a GPU that is too small included.
    """
    with uncollected():
        prepare_parser({"trainer": Trainer, "model": module, "data": data})
    StrategyRegistry.register(
        "ddp", ParticleParallel, "each process trains its own particles", override=True
    )
    try:
        with signals_answered() if verb else nullcontext(), uncollected():
            return cli(
                module,
                data,
                parser_class=Parser,
                seed_everything_default=0,
                auto_configure_optimizers=False,
                save_config_callback=WholeConfig,
                save_config_kwargs={"save_to_log_dir": False},
                args=arguments,
                run=verb,
            )
    except torch.OutOfMemoryError as error:
        raise ValueError(
            "the GPU has too little memory: set --model.guidance.init_args.prior null (zeta shares "
            "the prior's network), --model.prior.init_args.dtype bfloat16, or a smaller "
            "--model.cameras.render_size"
        ) from error

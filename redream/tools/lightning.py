"""LightningCLI on ReDream's module and data: its parser, its command, and both from Python."""

import logging
import sys
import warnings
from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import Namespace, set_parsing_settings
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.accelerators import MPSAccelerator
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.strategies import StrategyRegistry

from redream.callbacks.status import Status
from redream.errors import first_line
from redream.plugins import Component, describe_broken, list_components
from redream.representations.checkpoint import read_checkpoint_or_previous
from redream.signals import signals_answered
from redream.startup import settle, uncollected
from redream.tools.classes_only import expected_bases, require_classes
from redream.tools.config_loader import bound_configs
from redream.tools.devices import devices_of
from redream.tools.embedded import resolve
from redream.tools.export_options import add_export_options, hand_to_export
from redream.tools.going_on import last_or_before, seed_of, while_restoring
from redream.tools.output import require_writable
from redream.tools.parser_errors import explain, what_the_class_said
from redream.tools.run_folder import make_room, owned, require_no_links
from redream.tools.typed_commands import add_command_option, withhold_commands
from redream.tools.vocabulary import gather
from redream.tools.whole_config import WholeConfig
from redream.training.checkpoints import WholeCheckpoints, require_same_origin
from redream.training.limits import require_workable
from redream.training.memory import require_memory
from redream.training.parallel import ParticleParallel
from redream.training.stopping import StopBetweenSteps

IMPORTABLE = (
    "redream",
    *(
        f"lightning.pytorch.{each}"
        for each in ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies")
    ),
    "torch.optim",
)
"""What a config may import, besides plugins: a config from a stranger is data, not code."""
NOT_IMPORTABLE = (
    "*",
    *(f"redream.{each}" for each in ("__main__", "cli", "mini", "plugins", "testing", "tools")),
)
"""What it may not, though its package is above: commands and programs are no part of a run."""


class Parser(LightningArgumentParser):
    """LightningCLI's parser with errors of one line and the names of the embedded world."""

    components: Sequence[Component] = ()
    """What is installed: the names that a config may use."""

    core: dict[str, type] = {}
    """The classes behind the top-level keys ``trainer``, ``model`` and ``data``."""

    kinds: Collection[type] = ()
    """The classes that a config may make, and what descends from them; found when first needed."""

    command = "redream fit"
    """What is called, to point to its help."""

    is_making = False
    """Whether a parser is making objects: those of what is inside are made within."""

    typed: Sequence[str] = ()
    """The command line, from the moment that it is parsed."""

    def parse_args(  # type: ignore[override]  # jsonargparse's is not argparse's either
        self,
        args: Iterable[str] | None = None,
        namespace: Any = None,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Parses a command line, and remembers it: some things are taken from there alone."""
        self.typed = list(sys.argv[1:] if args is None else args)
        return super().parse_args(list(self.typed), namespace, **named)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a ValueError that says in one line what is wrong and what would be right."""
        if not self.exit_on_error:  # a parser inside a parser: the outer one reports
            super().error(message, ex)
        explained = explain(message, gather(self.core, self.components), self.command)
        raise ValueError(explained) from ex

    def require_classes(self, namespace: Namespace) -> None:
        """Refuses what was parsed where it names anything that is no class of a run.

        Raises:
            ValueError: If it does; one line.
        """
        if not Parser.kinds:
            Parser.kinds = expected_bases(self.core.values(), self.components)
        require_classes(namespace, Parser.kinds)

    def instantiate(self, namespace: Namespace, *args: Any, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """Instantiates the classes, ``embedded:`` names replaced; the saved config keeps them."""
        self.require_classes(namespace)
        resolved = resolve(namespace)  # a copy: the saved config keeps what was written
        if not Parser.is_making:  # the parsers of what is inside have no command line of their own
            withhold_commands(resolved, self.typed)
        is_inside, Parser.is_making = Parser.is_making, True
        try:
            instances: Namespace = super().instantiate(resolved, *args, **kwargs)
        except ValueError as error:
            raise ValueError(what_the_class_said(str(error))) from error
        finally:
            Parser.is_making = is_inside
        return instances

    def instantiate_classes(self, cfg: Namespace, **kwargs: Any) -> Namespace:  # noqa: ANN401
        """The name by which Lightning still calls ``instantiate``."""
        return self.instantiate(cfg, **kwargs)


class ReDreamCLI(LightningCLI):
    """LightningCLI with the top-level keys ``prompt``, for the data, and ``export``.

    Args:
        *classes: The module's and the data's.
        args: The command line: the verb first, where there is one.
        **named: What LightningCLI takes.
    """

    def __init__(self, *classes: type, args: Sequence[str], **named: Any) -> None:  # noqa: ANN401
        self.verb = args[0] if args else ""
        super().__init__(*classes, args=list(args), **named)

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
        config: Any = self.config[verb] if verb else {}
        path = config.get("ckpt_path")
        if path == "last":
            path = last_or_before(Path(config.trainer.default_root_dir or "."))
        if path is None or path in ("best", "last"):
            return
        found, checkpoint = read_checkpoint_or_previous(Path(path))
        prompt = (config.get("prompt") or "").strip() or None
        require_same_origin(checkpoint, prompt, seed=seed_of(config))
        config.ckpt_path = str(found)

    def _parse_ckpt_path(self) -> None:
        """Leaves a checkpoint's hyperparameters alone: the config.yaml of its run has them."""

    def instantiate_classes(self) -> None:
        """Makes the trainer and the module, and finds out whether they can work together."""
        super().instantiate_classes()
        particles = getattr(self.model, "particles", None)
        if particles is not None:
            require_workable(self.trainer, len(particles), self.model.particles_per_step)
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


def prepare_parser(core: dict[str, type]) -> None:
    """Loads the plugins and lets :class:`Parser` import them, and nothing that is a stranger's.

    Args:
        core: The classes behind the parser's top-level keys.
    """
    _quiet_lightning()
    known, Parser.components, Parser.core = Parser.components, list_components(), core
    Parser.kinds = ()
    for component in Parser.components:
        if component.reason is not None and component not in known:
            print(f"redream: warning: {describe_broken(component)}", file=sys.stderr)
    bound_configs()
    usable = [each for each in Parser.components if each.reason is None]
    plugins = [each.value.partition(":")[0] for each in usable]
    plugins += [each.split(".")[0] for each in plugins]
    modules = [each.__module__ for key, each in core.items() if key != "trainer"]
    set_parsing_settings(
        import_path_denylist=[*NOT_IMPORTABLE],
        import_path_allowlist=[*IMPORTABLE, *plugins, *modules],
    )


def _quiet_lightning() -> None:
    """Keeps from the user what only Lightning's developers can act on, and its greetings."""
    for logger in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(logger).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
    warnings.filterwarnings("ignore", r"The '.*_dataloader' does not have many workers")
    warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode")  # the frozen prior
    warnings.filterwarnings("ignore", r".*there is no last checkpoint available")  # we say it
    # random numbers are keyed by the step: a run goes on as if it had not stopped
    warnings.filterwarnings("ignore", r"You're resuming from a checkpoint that ended before")
    warnings.filterwarnings("ignore", r"The dirpath has changed from")  # an export elsewhere
    warnings.filterwarnings("ignore", r"predict returned None")  # callbacks export instead

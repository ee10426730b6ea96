"""Parser errors in one line: what is wrong, where, and the nearest thing that would be right."""

import re
from collections.abc import Callable
from pathlib import Path

from redream.plugins import OFFERED, describe_broken, not_registered, suggest
from redream.tools.vocabulary import Vocabulary

Explanation = Callable[[re.Match[str]], str]

_GUIDANCE = "model.guidance.init_args"
MOVED = {
    "model.variational": f"{_GUIDANCE}.adapter (null was model.guidance: SDS)",
    "model.variational_prior": f"{_GUIDANCE}.prior",
    "model.guidance_scale": f"{_GUIDANCE}.scale",
    "model.negative_prompt": f"{_GUIDANCE}.negative_prompt",
    "model.timesteps": f"{_GUIDANCE}.timesteps",
    "model.weighting": f"{_GUIDANCE}.weighting",
    "model.score_clip": f"{_GUIDANCE}.clip",
    "model.share_noise": f"{_GUIDANCE}.share_noise",
    "model.guidance_weight": f"{_GUIDANCE}.weight",
    "model.warmup_steps": "model.warmup.steps",
    "model.sigma": "model.warmup.sigma, the square root of C h w of the latents times as large",
    "model.shape_weight": "model.warmup.shape_weight",
    "model.assignment": "model.warmup.assignment",
    "model.correction_period": "model.correction.period",
    "model.correction_weight": "model.correction.weight",
    "model.adapter_batch_size": "model.adaptation.batch_size",
    "model.held_out_period": "model.adaptation.held_out_period",
    "model.num_views": "model.cameras.num_views",
    "model.render_size": "model.cameras.render_size",
    "model.elevation_deg": "model.cameras.elevation_deg",
    "model.distance": "model.cameras.distance",
    "model.fovy_deg": "model.cameras.fovy_deg",
    "model.random_background": "model.pictures.random_background",
    "model.penalties": "model.representation.init_args.penalties",
}
"""Keys of earlier configurations, and what they are called now."""


def explain(message: str, known: Vocabulary, command: str = "redream fit") -> str:
    """Condenses an error message of jsonargparse.

    Args:
        message: What jsonargparse says, often in many lines.
        known: What would have been right; asking for a broken component repeats the reason.
        command: What was called, whose help tells more.

    Returns:
        One line.
    """

    def unknown_class(match: re.Match[str]) -> str:
        name = match["name"]
        for component in known.broken:
            if component.name == name:
                return describe_broken(component)
        if name in OFFERED:
            return f"{name} is in a plugin that is not installed: pip install -e {OFFERED[name]}"
        suggested = suggest(name, known.classes)
        return not_registered(name) or f"there is no class {name!r}; {suggested}"

    def unknown_key(match: re.Match[str]) -> str:
        key = match["key"].partition("=")[0].lstrip("-")
        full = f"model.{key}" if where in ("", "model: ") else key  # YAML names the last part alone
        for old, new in MOVED.items():
            if any(each == old or each.startswith(f"{old}.") for each in (key, full)):
                return f"the key {old!r} is now {new}"
        top_level = [each for each in known.keys if "." not in each]
        near, far = ([*known.parameters, *top_level], known.distant)
        if "." in key:
            near, far = list(known.keys), known.parameters
        if key in (*near, *far) and where:  # of something else: it would be said to mean itself
            place = where.rstrip(": ")
            return f"it takes no {key!r}; see `{command} --{place}.help CLASS` for what it takes"
        help_text = suggest(key, far, f"see `{command} --help`")
        return f"unknown key {key!r}; {suggest(key, near, help_text)}"

    def denied(match: re.Match[str]) -> str:
        for component in known.broken:
            if component.value.replace(":", ".") == match["path"]:
                return describe_broken(component)
        return (
            f"{match['path']!r} may not be named in a config: it is no class of ReDream, "
            "Lightning, torch.optim or an installed plugin (see docs/plugins.md)"
        )

    def missing(match: re.Match[str]) -> str:
        """Names keys without the verb that jsonargparse puts before them."""
        keys = re.sub(r"\b(?:fit|validate|test|predict)\.", "", match["keys"])
        of_a_run = re.search(r"\b(validate|test|predict)\.", match["keys"])
        if of_a_run:
            return (
                f"{keys} missing; `redream {of_a_run[1]}` takes the config and the checkpoint of a "
                "run, as in --config outputs/demo/config.yaml --ckpt_path "
                "outputs/demo/checkpoints/last.ckpt"
            )
        if command == "redream fit":
            return f"{keys} missing; start from a config, as in --config configs/default.yaml"
        return f"{keys} missing; see `{command} --help`"

    def no_file(match: re.Match[str]) -> str:
        path = Path(match["path"])
        near = [each.name for each in path.parent.glob(f"*{path.suffix}")]
        return f"{match[0]}; {suggest(path.name, near, 'start from configs/default.yaml')}"

    where, said = _split_key(message)
    explanations: list[tuple[str, Explanation]] = [
        (r"File does not exist: '(?P<path>[^']+)'", no_file),
        (r"Importing '(?P<path>\S+)' is not allowed", denied),
        (r"Expected a dot import path string: (?P<name>\S+)", unknown_class),
        (r"[Oo]ption '(?P<key>[^']+)'", unknown_key),
        (r"unrecognized arguments: (?P<key>\S+)", unknown_key),
        (r"arguments are required: (?P<keys>[^\n]+)", missing),
        (r"Subtypes: \[(?P<types>.*)\]\s+Errors:.*Given value: (?P<value>.*)", _no_subtype),
        (r"Expected an? (?P<types>.*)\. Got value: (?P<value>.*)", _no_subtype),
    ]
    for pattern, explanation in explanations:
        match = re.search(pattern, said, re.DOTALL)
        if match:
            return where + " ".join(explanation(match).split())
    return where + " ".join(said.split())


def what_the_class_said(message: str) -> str:
    """The error of a class's constructor, where jsonargparse tells what else might have been."""
    others = r"(?:Not a valid subclass of|Expected a <class 'NoneType'>)"
    said = re.search(rf"Errors:\s+- (?P<said>.*?)\s+- {others}", message, re.DOTALL)
    return " ".join(said["said"].split()) if said else message


def _split_key(message: str) -> tuple[str, str]:
    """Splits off the key that jsonargparse names first, as ``data.retriever: ``."""
    match = re.match(r'Parser key "(?P<key>[^"]+)":', message)
    return (f"{match['key']}: ", message[match.end() :]) if match else ("", message)


def _no_subtype(match: re.Match[str]) -> str:
    types = re.sub(r"<class '([^']+)'>", r"\1", match["types"])
    types = types.replace("typing.", "").replace("NoneType", "null")
    return f"{match['value'].strip()!r} is not of type {' or '.join(types.split(', '))}"

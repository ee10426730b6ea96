"""Every writer's LoRA is merged as its own numbers say and as diffusers applies it, or refused.

The table: writer, model, the number of weights that change.
"""

import copy

import pytest
import torch
from diffusers import StableDiffusionPipeline
from lora_writers import (
    ATTENTION,
    LOCON,
    TEXT,
    TEXT_ATTENTION,
    TRANSFORMER,
    kohya_tensors,
    paired,
    plain_path,
    processor_name,
    sgm,
    updates,
    write,
)
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from redream.priors import StableDiffusionPrior
from redream.priors.user_loras import merge_loras

SDXL_LIKE = {
    "block_out_channels": (8, 16, 16),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 1, 2),
}


@pytest.fixture(scope="module")
def families(family_folders, tmp_path_factory):
    """A model of each family as loaded; its tests change copies of it."""
    from redream.priors.miniature import save_miniature_xl

    xl = tmp_path_factory.mktemp("lora") / "xl"
    save_miniature_xl(xl, **SDXL_LIKE)
    folders = {"sd": family_folders["epsilon"], "xl": xl, "3": family_folders["3 without T5"]}
    return {name: StableDiffusionPrior(str(path)).family for name, path in folders.items()}


def parts_of(family):
    """Every part that a LoRA may change."""
    encoders = {f"text_encoder_{i}": e.text_encoder for i, e in enumerate(family.encoders, 1)}
    encoders["text_encoder"] = encoders.pop("text_encoder_1")
    return {family.component: family.denoiser, **encoders}


def kohya_sd(parts):
    made = {
        "unet": updates(parts["unet"], TRANSFORMER),
        "text_encoder": updates(parts["text_encoder"], TEXT),
    }
    tensors = kohya_tensors("lora_unet", made["unet"])
    return tensors | kohya_tensors("lora_te", made["text_encoder"], plain_path), made


def kohya_sd_attention(parts):
    made = {"unet": updates(parts["unet"], ATTENTION)}
    return kohya_tensors("lora_unet", made["unet"]), made


def kohya_text_alone(parts):
    made = {"text_encoder": updates(parts["text_encoder"], TEXT)}
    return kohya_tensors("lora_te", made["text_encoder"], plain_path), made


def kohya_patterns(parts):
    """networks/resize_lora.py: a rank and an alpha for each layer."""
    many = {"ranks": (1, 2, 4), "alphas": (1.0, 4.0, 0.5, 3.0)}
    made = {
        "unet": updates(parts["unet"], LOCON, **many),
        "text_encoder": updates(parts["text_encoder"], TEXT, **many),
    }
    tensors = kohya_tensors("lora_unet", made["unet"])
    return tensors | kohya_tensors("lora_te", made["text_encoder"], plain_path), made


def kohya_few_alphas(parts):
    """A layer without an alpha has its rank for one (networks/lora.py)."""
    made = {"unet": updates(parts["unet"], TRANSFORMER, alphas=(4.0, 1.0))}
    tensors = kohya_tensors("lora_unet", made["unet"])
    return {k: t for k, t in tensors.items() if not k.endswith("alpha") or t != 4.0}, made


def kohya_xl(parts):
    made = {
        "unet": updates(parts["unet"], TRANSFORMER),
        "text_encoder": updates(parts["text_encoder"], TEXT),
        "text_encoder_2": updates(parts["text_encoder_2"], TEXT),
    }
    tensors = kohya_tensors("lora_unet", made["unet"], sgm)
    tensors |= kohya_tensors("lora_te1", made["text_encoder"], plain_path)
    return tensors | kohya_tensors("lora_te2", made["text_encoder_2"], plain_path), made


def lycoris_locon(parts):
    made = {"unet": updates(parts["unet"], LOCON, alphas=(1.0,))}
    return kohya_tensors("lora_unet", made["unet"]), made


def lycoris_locon_xl(parts):
    made = {"unet": updates(parts["unet"], LOCON, alphas=(1.0,))}
    return kohya_tensors("lora_unet", made["unet"], sgm), made


def attn_procs(parts):
    made = {"unet": updates(parts["unet"], ATTENTION, alphas=(4.0,))}
    return paired(made["unet"], processor_name, "down", "up"), made


def diffusers_017(parts):
    """save_lora_weights before 0.22: processors, and the text encoder by the same names."""
    made = {
        "unet": updates(parts["unet"], ATTENTION, alphas=(4.0,)),
        "text_encoder": updates(parts["text_encoder"], TEXT_ATTENTION, alphas=(4.0,)),
    }
    old = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}

    def text_name(path, end):
        layer, _, part = plain_path(path).rpartition(".")
        return f"text_encoder.{layer}.{old[part]}_lora.{end}.weight"

    unet = paired(made["unet"], lambda p, end: f"unet.{processor_name(p, end)}", "down", "up")
    return unet | paired(made["text_encoder"], text_name, "down", "up"), made


def diffusers_022(parts):
    """save_lora_weights before PEFT: ``lora.down`` and ``lora_linear_layer.down``."""
    made = {
        "unet": updates(parts["unet"], TRANSFORMER, alphas=(4.0,)),
        "text_encoder": updates(parts["text_encoder"], TEXT_ATTENTION, alphas=(4.0,)),
    }

    def text_name(path, end):
        return f"text_encoder.{plain_path(path)}.lora_linear_layer.{end}.weight"

    unet = paired(made["unet"], lambda p, end: f"unet.{p}.lora.{end}.weight", "down", "up")
    return unet | paired(made["text_encoder"], text_name, "down", "up"), made


def peft(component):
    def make(parts):
        made = {component: updates(parts[component], ATTENTION, alphas=(4.0,))}
        names = paired(made[component], lambda p, e: f"{component}.{p}.lora_{e}.weight", "A", "B")
        return names, made

    return make


def peft_text_alone(parts):
    made = {"text_encoder": updates(parts["text_encoder"], TEXT, alphas=(4.0,))}
    path = lambda p, e: f"text_encoder.{plain_path(p)}.lora_{e}.weight"  # noqa: E731
    return paired(made["text_encoder"], path, "A", "B"), made


TABLE = {
    "kohya, UNet and text encoder": ("sd", kohya_sd, 60),
    "kohya, attention alone": ("sd", kohya_sd_attention, 32),
    "kohya, text encoder alone": ("sd", kohya_text_alone, 12),
    "kohya, ranks and alphas by layer": ("sd", kohya_patterns, 91),
    "kohya, some alphas": ("sd", kohya_few_alphas, 48),
    "kohya XL, UNet and both text encoders": ("xl", kohya_xl, 216),
    "LyCORIS LoCon": ("sd", lycoris_locon, 79),
    "LyCORIS LoCon XL": ("xl", lycoris_locon_xl, 257),
    "diffusers save_attn_procs": ("sd", attn_procs, 32),
    "diffusers before 0.22": ("sd", diffusers_017, 40),
    "diffusers before PEFT": ("sd", diffusers_022, 56),
    "PEFT": ("sd", peft("unet"), 32),
    "PEFT, text encoder alone": ("sd", peft_text_alone, 12),
    "PEFT XL": ("xl", peft("unet"), 136),
    "PEFT 3": ("3", peft("transformer"), 8),
}


def weights(family):
    return {
        f"{name}.{path}": module.weight
        for name, part in parts_of(family).items()
        for path, module in part.named_modules()
        if getattr(module, "weight", None) is not None
    }


def changed(before, after):
    assert before.keys() == after.keys()
    return {path for path in before if not torch.equal(before[path], after[path])}


@pytest.mark.parametrize("writer", TABLE)
def test_a_writers_file_changes_what_it_says(writer, families, tmp_path):
    model, make, num_changed = TABLE[writer]
    tensors, made = make(parts_of(families[model]))
    path = tmp_path / "lora.safetensors"
    write(path, tensors)
    ours = copy.deepcopy(families[model])
    merge_loras(ours, [str(path)], [0.5])
    before, after = weights(families[model]), weights(ours)
    expected = {f"{name}.{p}": update for name, all_ in made.items() for p, update in all_.items()}
    for name, update in expected.items():
        torch.testing.assert_close(
            after[name], before[name] + 0.5 * update.delta, atol=1e-6, rtol=0
        )
    assert changed(before, after) == expected.keys()
    assert len(expected) == num_changed


@pytest.mark.filterwarnings("ignore:The following alpha_pattern keys")
@pytest.mark.parametrize("writer", [w for w in TABLE if w != "diffusers save_attn_procs"])
def test_diffusers_own_loader_changes_as_many(writer, families, tmp_path):
    model, make, num_changed = TABLE[writer]
    write(tmp_path / "lora.safetensors", make(parts_of(families[model]))[0])
    theirs = copy.deepcopy(families[model])
    pipeline = theirs.pipeline()
    pipeline.load_lora_weights(tmp_path, weight_name="lora.safetensors")
    pipeline.fuse_lora()
    pipeline.unload_lora_weights()
    assert len(changed(weights(families[model]), weights(theirs))) == num_changed


@pytest.mark.parametrize(
    "options",
    [
        {"rank_pattern": {"to_q": 3}, "alpha_pattern": {"to_k": 5.0, "attn2.to_v": 0.5}},
        {"use_dora": True},
        {"use_rslora": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_what_peft_trained_is_merged_as_peft_merges_it(options, families, tmp_path):
    """Ranks, alphas and DoRA travel in the file's metadata: diffusers 0.35, save_lora_weights."""
    trained = copy.deepcopy(families["sd"])
    targets = ["to_q", "to_k", "to_v"]
    config = LoraConfig(
        r=2, target_modules=targets, lora_alpha=3.0, init_lora_weights=False, **options
    )
    trained.denoiser.add_adapter(config)
    for layer in trained.denoiser.modules():
        for magnitude in getattr(layer, "lora_magnitude_vector", {}).values():
            magnitude.weight.data *= 1.0 + torch.rand(len(magnitude.weight))
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(trained.denoiser),
        unet_lora_adapter_metadata=trained.denoiser.peft_config["default"].to_dict(),
    )
    trained.denoiser.fuse_lora()
    trained.denoiser.unload_lora()
    ours = copy.deepcopy(families["sd"])
    merge_loras(ours, [str(tmp_path)], None)
    after, expected = weights(ours), weights(trained)
    for path in expected:
        torch.testing.assert_close(after[path], expected[path], atol=1e-6, rtol=0)
    assert len(changed(weights(families["sd"]), after)) == 24


def kohya_like(*endings, layer="lora_unet_down_blocks_1_attentions_0_proj_in"):
    return {f"{layer}.{ending}": torch.rand(2, 2) for ending in endings}


PAIR = ("lora_down.weight", "lora_up.weight")
REFUSED = {
    "kohya DoRA": (kohya_like(*PAIR, "dora_scale"), "no plain LoRA but DoRA in kohya's names"),
    "LyCORIS LoHa": (kohya_like("hada_w1_a", "hada_w1_b"), "but LoHa"),
    "LyCORIS LoKr": (kohya_like("lokr_w1", "lokr_w2_a"), "but LoKr"),
    "LyCORIS Tucker": (kohya_like(*PAIR, "lora_mid.weight"), "Tucker"),
    "LyCORIS full": (kohya_like("diff"), "but a full difference"),
    "LyCORIS train_norm": (kohya_like(*PAIR) | kohya_like("w_norm", layer="n"), "of norms"),
    "kohya OFT": (kohya_like("oft_blocks"), "but OFT"),
    "half a pair": (kohya_like("lora_down.weight"), "1 of its 1 layers lack their up matrix"),
    "not a number": ({"unet.a.lora_A.weight": torch.full((1, 1), torch.nan)}, "is no number"),
    "no tensors": ({}, "is no LoRA, it is empty: give"),
    "a checkpoint": ({"conv_in.weight": torch.rand(2)}, "none of its tensors is one's"),
    "kohya SD 3": (kohya_like(*PAIR, layer="lora_unet_joint_blocks_0_attn_qkv"), "model"),
    "kohya Flux": (kohya_like(*PAIR, layer="lora_unet_double_blocks_0_attn_qkv"), "model"),
    "PEFT, of one network": (
        kohya_like("lora_A.weight", "lora_B.weight", layer="base_model.model.conv_in"),
        "adapts no unet and no text_encoder, but base_model.model.conv_in",
    ),
    "of XL's second text encoder": (
        kohya_like(*PAIR, layer="lora_te2_text_model_encoder_layers_0_mlp_fc1"),
        "adapts no unet and no text_encoder, but text_encoder_2",
    ),
    "of a wider model": (
        {"unet.conv_in.lora_A.weight": torch.rand(2, 9, 3, 3),
         "unet.conv_in.lora_B.weight": torch.rand(8, 2, 1, 1)},
        "adapts unet.conv_in of width 9, and the model has 4 there",
    ),
    "of other blocks": (
        kohya_like("lora_A.weight", "lora_B.weight", layer="unet.down_blocks.7.conv"),
        "adapts unet.down_blocks.7.conv, which the model does not have",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_merged_says_why_in_one_line(kind, families, tmp_path):
    tensors, said = REFUSED[kind]
    write(tmp_path / "lora.safetensors", tensors)
    family = copy.deepcopy(families["sd"])
    with pytest.raises(ValueError, match=said) as raised:
        merge_loras(family, [str(tmp_path / "lora.safetensors")], None)
    message = str(raised.value)
    assert "\n" not in message and len(message) < 400
    assert any(way_out in message for way_out in (": give", "; give", ": train", "again"))


def test_layers_that_the_model_lacks_are_counted_and_named(families, tmp_path):
    made_of_sd = updates(families["sd"].denoiser, ATTENTION, alphas=(4.0,))
    unet = paired(made_of_sd, lambda p, e: f"unet.{p}.lora_{e}.weight", "A", "B")
    more = {key.replace("unet.", "text_encoder_2."): tensor.clone() for key, tensor in unet.items()}
    write(tmp_path / "lora.safetensors", unet | more)
    family = copy.deepcopy(families["sd"])
    with pytest.warns(
        UserWarning, match="lacks 32 of the 64 layers .* text_encoder_2.down"
    ) as told:
        merge_loras(family, [str(tmp_path / "lora.safetensors")], None)
    assert len(told) == 1 and "\n" not in str(told[0].message)
    assert len(changed(weights(families["sd"]), weights(family))) == 32

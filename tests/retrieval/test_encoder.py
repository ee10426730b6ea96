import gc
import shutil
from types import SimpleNamespace

import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import to_pil_image
from toy_encoders import save_random_clip

from redream.retrieval import Encoder
from redream.retrieval import encoder as encoder_module
from redream.retrieval.encoder import let_encoders_rest


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory):
    return save_random_clip(tmp_path_factory.mktemp("clips") / "tiny", own_tokenizer=True)


def test_encodes_to_unit_vectors_as_open_clip_itself(clip_folder):
    encoder = Encoder(f"local-dir:{clip_folder}", device="cpu", batch_size=2)
    texts = ["a dog", "a cat", "", "a very long text that the tokenizer has to cut somewhere"]
    vectors = encoder.encode_texts(texts)
    assert vectors.shape == (4, encoder.dimension)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(4))
    model = open_clip.create_model(f"local-dir:{clip_folder}").eval()
    tokens = open_clip.get_tokenizer(f"local-dir:{clip_folder}")(texts)
    with torch.no_grad():
        truth = model.encode_text(tokens, normalize=True)
    torch.testing.assert_close(vectors, truth)
    assert not torch.allclose(vectors[0], vectors[1])


@pytest.mark.parametrize("resize_mode", ["shortest", "squash", "longest"])
@pytest.mark.parametrize("size", [(32, 32), (70, 70), (48, 96), (20, 11)])
def test_preprocessing_agrees_with_open_clips_transform(tmp_path, resize_mode, size):
    folder = save_random_clip(
        tmp_path / "clip",
        own_tokenizer=False,
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.3, 0.4],
        resize_mode=resize_mode,
        interpolation="bicubic",
        fill_color=0,
    )
    encoder = Encoder(f"local-dir:{folder}", device="cpu")
    picture = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(picture[None], size, mode="bilinear")[0]
    pil = to_pil_image(picture)
    assert isinstance(pil, Image.Image)
    config = open_clip.transform.PreprocessCfg(**encoder.preprocessing)
    transform = open_clip.transform.image_transform_v2(config, is_train=False)
    truth, ours = transform(pil), encoder.preprocess(picture[None])[0]
    assert ours.shape == truth.shape
    assert (ours - truth).abs().mean() < 0.02  # PIL rounds to 8 bits


def test_simple_tokenizer_and_hub_name_need_no_network(tmp_path):
    folder = save_random_clip(tmp_path / "clip", own_tokenizer=False)
    encoder = Encoder(f"local-dir:{folder}", device="cpu")
    assert encoder.encode_texts(["a striped dog"]).shape == (1, 24)
    assert encoder.image_size == 32
    assert Encoder("ViT-B-32", "laion2b_s34b_b79k").name == "ViT-B-32/laion2b_s34b_b79k"


def test_name_follows_content_not_place(clip_folder, tmp_path):
    name = Encoder(f"local-dir:{clip_folder}").name
    moved = tmp_path / "elsewhere" / clip_folder.name
    shutil.copytree(clip_folder, moved)
    assert Encoder(f"local-dir:{moved}").name == name
    other = save_random_clip(tmp_path / "other" / clip_folder.name, own_tokenizer=True, seed=1)
    assert Encoder(f"local-dir:{other}").name != name


def test_faults_are_one_line(clip_folder, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"open_clip_config\.json"):
        Encoder(f"local-dir:{tmp_path}")
    with pytest.raises(ValueError, match="needs weights"):
        Encoder("ViT-B-32")
    broken = tmp_path / "broken"
    shutil.copytree(clip_folder, broken)
    weights = broken / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    for _ in range(2):  # cut short, then missing
        with pytest.raises(ValueError, match="cannot load encoder local-dir:") as error:
            Encoder(f"local-dir:{broken}", device="cpu").encode_texts(["a"])
        assert "\n" not in str(error.value)
        weights.unlink(missing_ok=True)


def test_weights_of_another_activation_are_refused_before_they_are_downloaded():
    with pytest.raises(ValueError, match="QuickGELU.* use ViT-L-14-quickgelu$"):
        Encoder("ViT-L-14", "openai", device="cpu").encode_texts(["a dog"])


@pytest.mark.parametrize(
    ("model", "tag"),
    [("ViT-L-14-quickgelu", "openai"), ("ViT-L-14", "datacomp_xl_s13b_b90k"), ("RN50", "a.pt")],
)
def test_the_papers_judges_pass(model, tag):
    Encoder(model, tag, device="cpu")._require_own_activation()


def test_encoders_of_the_same_weights_share_one_model(clip_folder, tmp_path):
    one, two = (Encoder(f"local-dir:{clip_folder}", device="cpu") for _ in range(2))
    assert torch.equal(one.encode_texts(["a dog"]), two.encode_texts(["a dog"]))
    assert one.image_tower is two.image_tower
    folder = save_random_clip(tmp_path / "other", own_tokenizer=True, seed=1)
    assert Encoder(f"local-dir:{folder}", device="cpu").image_tower is not one.image_tower
    key = next(key for key in encoder_module._LOADED if key[0] == one.model)
    del one, two
    gc.collect()
    assert key not in encoder_module._LOADED  # nothing holds what nobody uses


class Movable(torch.nn.Module):
    """Stands for a CLIP that a GPU has room for; says where it is."""

    def __init__(self):
        super().__init__()
        self.place, self.used = torch.device("cpu"), []

    def parameters(self):
        return iter([SimpleNamespace(device=self.place)])

    def to(self, device):
        self.place = torch.device(device)

    def encode_text(self, tokens):
        self.used.append(str(self.place))
        return torch.ones(len(tokens), 4)


def test_models_rest_on_the_cpu_between_two_uses(clip_folder, monkeypatch):
    encoder = Encoder(f"local-dir:{clip_folder}", device="cpu")
    encoder.encode_texts(["a dog"])
    model = Movable()
    monkeypatch.setitem(encoder.__dict__, "_loaded", model)
    monkeypatch.setattr(encoder_module, "_LOADED", {"a": model})
    monkeypatch.setitem(encoder.__dict__, "_tokenizer", lambda texts: Tokens(texts))
    encoder.to("cuda:0")
    encoder.encode_texts(["a dog"])
    encoder.encode_texts(["a cat"])
    let_encoders_rest()
    assert model.place.type == "cpu"
    encoder.encode_texts(["a dog"])
    assert model.used == ["cuda:0"] * 3


class Tokens(list):
    def to(self, device):
        return self

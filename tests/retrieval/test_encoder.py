import gc
import json
import shutil
from types import SimpleNamespace

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
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


def as_pickle(folder):
    weights = folder / "open_clip_model.safetensors"
    torch.save(load_file(weights), folder / "open_clip_pytorch_model.bin")
    weights.unlink()
    return folder / "open_clip_pytorch_model.bin"


def other_weights(folder, path):
    tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path)
    tensors["visual.proj"] += 1.0
    save = save_file if path.suffix == ".safetensors" else torch.save
    save(tensors, path)


def other_text(folder, path):
    path.write_text(path.read_text().replace('"a</w>"', '"A</w>"'))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("open_clip_model.safetensors", other_weights),
        ("open_clip_pytorch_model.bin", other_weights),
        ("tokenizer.json", other_text),
    ],
)
def test_a_name_follows_every_file_that_makes_the_vectors(clip_folder, tmp_path, name, change):
    folder = shutil.copytree(clip_folder, tmp_path / "clip")
    if name.endswith(".bin"):
        as_pickle(folder)
    before = Encoder(str(folder), device="cpu")
    vectors = before.encode_images(torch.full((1, 3, 32, 32), 0.3)), before.encode_texts(["a"])
    (folder / "README.md").write_text("of no account")
    assert Encoder(str(folder)).name == before.name
    change(folder, folder / name)
    after = Encoder(str(folder), device="cpu")
    assert after.name != before.name
    again = after.encode_images(torch.full((1, 3, 32, 32), 0.3)), after.encode_texts(["a"])
    assert not all(map(torch.equal, vectors, again))


@pytest.mark.parametrize("way", ["relative", "local-dir:relative", "~", "local-dir:~"])
def test_a_folders_place_is_settled_when_it_is_named(clip_folder, tmp_path, monkeypatch, way):
    shutil.copytree(clip_folder, tmp_path / "clip")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    encoder = Encoder(way.replace("relative", "clip").replace("~", "~/clip"), device="cpu")
    (tmp_path / "elsewhere" / "clip").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert encoder.init_args == {"model": f"local-dir:{tmp_path / 'clip'}", "pretrained": None}
    assert encoder.name == Encoder(str(tmp_path / "clip")).name
    assert encoder.encode_texts(["a dog"]).shape == (1, 24)


def test_a_file_of_weights_is_known_by_its_content(clip_folder, tmp_path, monkeypatch):
    config = json.loads((clip_folder / "open_clip_config.json").read_text())["model_cfg"]
    (tmp_path / "tiny-for-a-test.json").write_text(json.dumps(config))
    open_clip.add_model_config(tmp_path / "tiny-for-a-test.json")
    weights = tmp_path / "mine.safetensors"
    shutil.copy(clip_folder / "open_clip_model.safetensors", weights)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names = set()
    for way in ("mine.safetensors", "~/mine.safetensors", str(weights)):
        encoder = Encoder("tiny-for-a-test", way, device="cpu")
        assert encoder.init_args["pretrained"] == str(weights)
        names.add(encoder.name)
    assert encoder.image_tower.proj.shape == (16, 24)
    other_weights(tmp_path, weights)
    names.add(Encoder("tiny-for-a-test", str(weights)).name)
    assert len(names) == 2 and all("mine.safetensors@" in name for name in names)


def test_a_repository_is_known_by_its_content(clip_folder, tmp_path, monkeypatch):
    """As the hub's client lays them: two revisions of one id, the first again elsewhere."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    names = []
    for number, changed in enumerate((False, True, False)):
        cache = tmp_path / str(number)
        for where in ("constants", "file_download.constants"):
            monkeypatch.setattr(f"huggingface_hub.{where}.HF_HUB_CACHE", str(cache))
        repository = cache / "models--someone--clip"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        snapshot = shutil.copytree(clip_folder, repository / "snapshots" / ("0" * 40))
        if changed:
            other_weights(snapshot, snapshot / "open_clip_model.safetensors")
        names.append(Encoder("hf-hub:someone/clip").name)
    assert names[0] == names[2] != names[1]
    with pytest.raises(ValueError, match="cannot load encoder hf-hub:nobody/nothing") as error:
        _ = Encoder("hf-hub:nobody/nothing").name
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="brings its own weights"):
        Encoder("hf-hub:someone/clip", "openai")


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

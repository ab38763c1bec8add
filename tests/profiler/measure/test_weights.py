"""Folders of weights: those that `save_pretrained` writes are loaded, and half a download is one sentence."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from safetensors.torch import load_file

from planner.errors import InputError
from profiler.measure.weights import INDEX, SINGLE, check_weights
from tests.planner.quantization.real import quantized_layers
from tests.profiler.measure.small import LAYERS, LLAMA, built, quiet, run_of
from tests.support.families import model_of

RUN = run_of(rank=4)


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in one file."""
    folder = tmp_path_factory.mktemp("single")
    torch.manual_seed(1)
    with quiet():
        model_of(LLAMA, dtype="bfloat16").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sharded(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same model in several."""
    folder = tmp_path_factory.mktemp("sharded")
    with quiet():
        from transformers import AutoModelForCausalLM

        AutoModelForCausalLM.from_pretrained(saved).save_pretrained(folder, max_shard_size="30KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    return folder


def files_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("kind", ["saved", "sharded"])
def test_a_loaded_model_has_the_saved_values(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    model = built(RUN, weights=str(folder)).model.get_base_model()
    state = {name.replace(".base_layer", ""): tensor for name, tensor in model.state_dict().items()}
    files = files_of(folder)
    assert state.keys() - files.keys() == {name for name in state if "lora_" in name}
    assert files.keys() <= state.keys()
    for name, tensor in files.items():
        assert state[name].dtype == torch.bfloat16 and torch.equal(state[name], tensor), name
    assert model.config.use_cache is False


def test_a_loaded_model_has_the_buffers_of_any(saved: Path) -> None:
    theirs = dict(model_of(LLAMA).named_buffers())
    ours = dict(built(run_of(method="full"), weights=str(saved)).model.named_buffers())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_loaded_model_is_quantized_as_bitsandbytes_does_it(saved: Path) -> None:
    model = built(run_of(method="qlora", rank=4), weights=str(saved)).model.get_base_model()
    files = files_of(saved)
    layers = list(quantized_layers(model))
    assert len(layers) == LAYERS * 7
    for name, layer in layers:
        source = files[f"{name.removesuffix('.base_layer')}.weight"]
        packed, state = bitsandbytes.functional.quantize_4bit(source, quant_type="nf4", compress_statistics=True)
        assert torch.equal(layer.weight.data, packed)
        assert torch.equal(layer.weight.quant_state.absmax, state.absmax)
    assert model.lm_head.weight.dtype == torch.float32  # `prepare_model_for_kbit_training`
    assert torch.equal(model.lm_head.weight, files["lm_head.weight"].float())


def test_a_loaded_model_computes_what_the_saved_one_does(saved: Path) -> None:
    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(saved, attn_implementation="eager").eval()
    ours = built(run_of(method="full", base_dtype="bfloat16"), weights=str(saved)).model.eval()
    tokens = torch.arange(20).view(2, 10)
    with torch.no_grad():
        assert torch.equal(ours(tokens).logits, theirs(tokens).logits)


# what is wrong with a folder


def cut(file: Path, size: int = -100) -> None:
    content = file.read_bytes()
    file.write_bytes(content[:size])


def first_shard(folder: Path) -> Path:
    return sorted(folder.glob("*.safetensors"))[0]


def as_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def index(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        content = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        (folder / INDEX).write_text(json.dumps(change(content)), encoding="utf-8")

    return spoil


def naming(name: object) -> Callable[[Path], None]:
    return index(lambda content: {**content, "weight_map": {**content["weight_map"], "lm_head.weight": name}})


def text(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content, encoding="utf-8") and None


def header(content: bytes, rest: bytes = b"") -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        first_shard(folder).write_bytes(struct.pack("<Q", len(content)) + content + rest)

    return spoil


HALF: dict[str, tuple[Callable[[Path], None], str]] = {
    "a truncated file": (lambda folder: cut(first_shard(folder)), "is not whole; download the model again"),
    "a file of a few bytes": (lambda folder: cut(first_shard(folder), 5), "is not whole"),
    "an empty file": (lambda folder: cut(first_shard(folder), 0), "is not whole"),
    "a missing shard": (lambda folder: first_shard(folder).unlink(), "which its index names; download the model"),
    "a shard that is a folder": (lambda folder: as_folder(first_shard(folder)), "which its index names"),
    "an index that is no JSON": (text(INDEX, "{"), "is no index of weights"),
    "an index of another form": (text(INDEX, "[1, 2]"), "is no index of weights"),
    "an index without a map": (text(INDEX, "{}"), "is no index of weights"),
    "an index of bytes": (lambda folder: (folder / INDEX).write_bytes(b"\xff\xfe\x00") and None, "is no index"),
    "an index without end": (text(INDEX, "[" * 200_000), "is no index of weights"),
    "an index of nothing": (index(lambda content: {**content, "weight_map": {}}), "cannot be loaded"),
    "an index that leaves its folder": (naming("../x.safetensors"), "names files outside of its folder"),
    "an index of a whole path": (naming("/etc/passwd"), "names files outside of its folder"),
    "an index of numbers": (naming(5), "is no index of weights"),
    "an index of lists": (naming(["a"]), "is no index of weights"),
    "an index of a pickle": (naming("pytorch_model.bin"), "names files that are not safetensors"),
    "an index of the folder itself": (naming("."), "names files"),
    "a name that no terminal should see": (naming("\x1b[31m.safetensors"), r"lacks \\x1b[31m.safetensors"),
    "a header that is longer than the file": (
        lambda folder: first_shard(folder).write_bytes(struct.pack("<Q", 10**9) + b"{}") and None,
        "is not whole",
    ),
    "a header of absurd length": (
        lambda folder: first_shard(folder).write_bytes(b"\xff" * 8 + b"{}") and None,
        "is not whole",
    ),
    "a header that is no JSON": (header(b"nothing!"), "is not whole"),
    "a header of a list": (header(b"[1]"), "is not whole"),
    "a header of text": (header(b'{"a": {"data_offsets": ["x", "y"]}}'), "is not whole"),
    "a header without offsets": (header(b'{"a": {}}'), "is not whole"),
    "a header without end": (header(b"[" * 200_000), "is not whole"),
    "an adapter beside it": (text("adapter_config.json", "{}"), "holds an adapter"),
}


@pytest.mark.parametrize("wrong", HALF)
def test_half_a_download_is_one_sentence(wrong: str, sharded: Path, tmp_path: Path) -> None:
    spoil, says = HALF[wrong]
    folder = shutil.copytree(sharded, tmp_path / "model")
    spoil(folder)
    with pytest.raises(InputError) as raised:
        built(RUN, weights=str(folder))
    sentence = str(raised.value)
    assert says.replace("\\\\", "\\") in sentence
    assert raised.value.field == "weights"
    assert sentence.isprintable() and len(sentence) < 700


@pytest.mark.parametrize("folder", ["", "nowhere", "~no-such-user/model", "a\0b", "model\x1b"])
def test_no_folder_at_all(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"is no folder; give|holds no weights in safetensors") as raised:
        check_weights(folder)
    assert str(raised.value).isprintable()


def test_a_file_is_no_folder(saved: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        check_weights(str(saved / SINGLE))


class Opened:
    """Writes to a file as it is unpickled."""

    def __init__(self, to: Path) -> None:
        self.to = to

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.to, "unpickled"))


@pytest.mark.parametrize("name", ["pytorch_model.bin", SINGLE])
def test_nothing_is_unpickled(name: str, tmp_path: Path) -> None:
    """Neither the format of old, nor a pickle under the name of the new one."""
    proof = tmp_path / "proof"
    (tmp_path / name).write_bytes(pickle.dumps(Opened(proof)))
    with pytest.raises(InputError, match="holds no weights in safetensors" if "bin" in name else "is not whole"):
        built(RUN, weights=str(tmp_path))
    assert not proof.exists()


def test_the_one_file_is_what_is_checked_and_loaded(saved: Path, sharded: Path, tmp_path: Path) -> None:
    """`from_pretrained` takes it before any index."""
    folder = shutil.copytree(saved, tmp_path / "both")
    shutil.copy(sharded / INDEX, folder)
    assert check_weights(str(folder)) == folder
    cut(folder / SINGLE)
    with pytest.raises(InputError, match="is not whole"):
        check_weights(str(folder))


def test_a_config_cannot_name_another_file(saved: Path) -> None:
    config = LLAMA | {"transformers_weights": "elsewhere.safetensors"}
    model = built(run_of(config, method="full"), config, weights=str(saved)).model
    assert torch.equal(model.lm_head.weight, files_of(saved)["lm_head.weight"])


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "another architecture": (LLAMA | {"model_type": "gpt2"}, "lacks "),
    "another width": (LLAMA | {"hidden_size": 64}, "has another shape of "),
    "more layers": (LLAMA | {"num_hidden_layers": 6}, "lacks model.layers.3."),
}


@pytest.mark.parametrize("other", OTHERS)
def test_the_weights_of_another_model(other: str, saved: Path) -> None:
    config, says = OTHERS[other]
    with pytest.raises(InputError) as raised:
        built(run_of(config, method="full"), config, weights=str(saved))
    sentence = str(raised.value)
    assert says in sentence or "cannot be loaded" in sentence
    assert sentence.endswith(("give the weights of this model", "give those of this model"))
    assert "\n" not in sentence and raised.value.field == "weights"

"""The model that a LoRA run starts from: what it is, what it takes, and loading it for training."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Names in a GGUF and of the configuration in transformers, of the models whose adapters are tested.
ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3": "gemma3_text"}
MIB = 2**20


class TuningError(Exception):
    """A failure that people can do something about; `code` is the machine-readable cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Base:
    """A model on disk, by what its header says."""

    path: Path
    architecture: str
    parameters: int
    layers: int
    hidden: int
    feed_forward: int
    vocabulary: int

    @property
    def is_gguf(self) -> bool:
        return self.path.is_file()

    @property
    def loading(self) -> int:
        """Bytes of the machine's memory: tensors of a GGUF are in single precision at first."""
        return self.parameters * (5 if self.is_gguf else 2)


def read_base(path: Path) -> Base:
    """Reads the header of a GGUF file, or the configuration of a folder with safetensors.

    Quick: no weights are read. Raises TuningError "tuner-base" for what is neither, and
    "tuner-architecture" for a model whose adapters are not covered.
    """
    try:
        base = _read_gguf(path) if path.is_file() else _read_folder(path)
    except TuningError:
        raise
    except (OSError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise TuningError(
            "tuner-base",
            f"{path} is neither a GGUF file nor a folder with safetensors that can be read "
            f'({error}). Set "tuner.base" to one of the designer\'s model.',
        ) from error
    if base.architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise TuningError(
            "tuner-architecture",
            f"Models of the architecture {base.architecture} cannot be tuned; covered are {known}. "
            'Choose one of those in "designer.model".',
        )
    return base


def _read_gguf(path: Path) -> Base:
    from gguf import GGUFReader

    reader = GGUFReader(path)

    def value(key: str) -> Any:
        field = reader.get_field(key)
        if field is None:
            raise KeyError(f"it has no {key}")
        return field.contents()

    architecture = value("general.architecture")
    return Base(
        path=path,
        architecture=architecture,
        parameters=sum(int(tensor.n_elements) for tensor in reader.tensors),
        layers=value(f"{architecture}.block_count"),
        hidden=value(f"{architecture}.embedding_length"),
        feed_forward=value(f"{architecture}.feed_forward_length"),
        vocabulary=len(value("tokenizer.ggml.tokens")),
    )


def _read_folder(path: Path) -> Base:
    from safetensors import safe_open

    config = json.loads((path / "config.json").read_text())
    parameters = 0
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise KeyError("it has no safetensors")
    for file in files:
        with safe_open(file, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118  (not a mapping)
                size = 1
                for length in tensors.get_slice(name).get_shape():
                    size *= length
                parameters += size
    kind = config["model_type"]
    names = {theirs: ours for ours, theirs in ARCHITECTURES.items()}
    return Base(
        path=path,
        architecture=names.get(kind, kind),
        parameters=parameters,
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        feed_forward=config["intermediate_size"],
        vocabulary=config["vocab_size"],
    )


@dataclass(frozen=True)
class Load:
    """What a training step holds: the tokens it differentiates through, of how many examples."""

    rank: int
    tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Memory:
    """Bytes, estimated from sizes; the constants were fitted to runs of 0.5B and 1.5B models."""

    weights: int
    loading: int
    adapter: int
    activations: int
    # With activations computed again layer by layer.
    checkpointed: int

    def needed(self, checkpointing: bool) -> int:
        step = self.checkpointed if checkpointing else self.activations
        return self.adapter + max(self.loading, self.weights + step)


def estimate_memory(base: Base, load: Load, bytes_per_weight: float, on_gpu: bool) -> Memory:
    """What tuning takes on its device."""
    embeddings = 2 * base.vocabulary * base.hidden
    weights = int((base.parameters - embeddings // 2) * bytes_per_weight) + embeddings
    # The attention's projections are narrower than the feed-forward's: taken as square.
    per_layer = 4 * 2 * base.hidden + 3 * (base.hidden + base.feed_forward)
    adapter = 4 * 4 * load.rank * per_layer * base.layers
    each = 24 * base.hidden + 34 * base.feed_forward
    if bytes_per_weight == 4:
        each = each * 8 // 5
    scores = load.answer_tokens * base.vocabulary * 12
    return Memory(
        weights=weights,
        loading=0 if on_gpu else base.loading,
        adapter=adapter,
        activations=load.tokens * base.layers * each + scores,
        checkpointed=load.tokens * (base.layers * 2 * base.hidden * 2 + each) + scores,
    )


def load_tokenizer(base: Base) -> Any:
    from transformers import AutoTokenizer

    if base.is_gguf:
        return AutoTokenizer.from_pretrained(base.path.parent, gguf_file=base.path.name)
    return AutoTokenizer.from_pretrained(base.path)


def load_model(base: Base, dtype: torch.dtype, device: torch.device, four_bit: bool) -> Any:
    """The causal language model on `device`, frozen; with `four_bit` its linear layers in NF4."""
    from transformers import AutoModelForCausalLM

    if base.is_gguf:
        model = AutoModelForCausalLM.from_pretrained(
            base.path.parent, gguf_file=base.path.name, dtype=dtype
        )
    else:
        model = AutoModelForCausalLM.from_pretrained(base.path, dtype=dtype)
    model.requires_grad_(False)
    if four_bit:
        quantize(model.get_decoder(), dtype)
    return model.to(device)


def quantize(module: Any, dtype: torch.dtype) -> None:
    """Puts 4-bit layers (QLoRA, arXiv 2305.14314) in the place of linear ones.

    They pack their weights on their way to the device.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit
    from torch import nn

    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            packed = Linear4bit(
                child.in_features,
                child.out_features,
                bias=child.bias is not None,
                compute_dtype=dtype,
                quant_type="nf4",
                device="meta",
            )
            packed.weight = Params4bit(child.weight.data, requires_grad=False, quant_type="nf4")
            packed.bias = child.bias
            setattr(module, name, packed)
        else:
            quantize(child, dtype)

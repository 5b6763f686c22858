"""Tiny models with random weights, of each architecture whose adapters are covered.

`python tests/tiny_models.py FOLDER` writes, for each, `<architecture>.gguf`, an adapter of random
factors, and what greedy decoding by transformers says with and without it: the judge of what
llama.cpp says.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netwright.tuning.adapter import PROJECTIONS, write_adapter

ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3")
VOCABULARY, HIDDEN, FEED_FORWARD, LAYERS, HEADS, KV_HEADS, HEAD = 260, 64, 96, 2, 4, 2, 16
QUESTION = [72, 101, 108, 108, 111, 44, 32]
ANSWER_TOKENS = 16
RANK, ALPHA = 4, 8.0


def make_model(architecture: str, seed: int = 0) -> Any:
    """The model in single precision, as transformers builds it."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind = "gemma3_text" if architecture == "gemma3" else architecture
    more: dict[str, Any] = {}
    if architecture in ("qwen3", "gemma3"):
        more["head_dim"] = HEAD
    if architecture == "gemma3":
        more.update(
            query_pre_attn_scalar=HEAD,
            sliding_window=64,
            layer_types=["sliding_attention"] * LAYERS,
        )
    config = AutoConfig.for_model(
        kind,
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        max_position_embeddings=32768,
        tie_word_embeddings=True,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=258,
        **more,
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 1:
                weight.copy_(torch.randn_like(weight) * 0.1 + (0 if "bias" in name else 1))
            else:
                weight.copy_(torch.randn_like(weight) * 0.25)
    return model.eval()


_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def _gguf_name(name: str, architecture: str) -> str:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    if part == "post_attention_layernorm":
        part = "post_attention_norm" if architecture == "gemma3" else "ffn_norm"
    elif part == "pre_feedforward_layernorm":
        part = "ffn_norm"
    elif part == "post_feedforward_layernorm":
        part = "post_ffw_norm"
    else:
        part = _NAMES[part]
    return f"blk.{layer}.{part}.{kind}"


def write_gguf(file: Path, model: Any, architecture: str) -> None:
    """As llama.cpp's own converter would: q and k of llama reordered, gemma's norms plus one."""
    from gguf import GGUFWriter, TokenType

    writer = GGUFWriter(file, architecture)
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
    writer.add_rope_freq_base(1e6 if architecture == "gemma3" else 1e4)
    writer.add_rope_dimension_count(HEAD)
    if architecture == "gemma3":
        writer.add_sliding_window(64)
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([*alphabet, "<bos>", "<eos>", "<pad>", "he"])
    writer.add_token_types([TokenType.NORMAL] * 256 + [TokenType.CONTROL] * 3 + [TokenType.NORMAL])
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_pad_token_id(258)
    writer.add_add_bos_token(False)
    for name, weight in model.named_parameters():
        values = weight.detach()
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            count = HEADS if "q_proj" in name else KV_HEADS
            values = _interleave(values, count)
        if architecture == "gemma3" and "norm" in name:
            values = values + 1
        writer.add_tensor(_gguf_name(name, architecture), np.ascontiguousarray(values.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


TEMPLATE = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def save_folder(folder: str | Path) -> None:
    """A model of architecture qwen2 as safetensors, with a tokenizer of bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {token: i for i, token in enumerate([*alphabet, "<bos>", "<eos>", "<pad>", "he"])}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[("h", "e")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<eos>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    make_model("qwen2").save_pretrained(folder)


def _interleave(weight: Tensor, heads: int) -> Tensor:
    rows, columns = weight.shape
    split = weight.reshape(heads, 2, rows // heads // 2, columns)
    return split.swapaxes(1, 2).reshape(rows, columns)


def make_factors(model: Any, seed: int = 1) -> dict[str, Tensor]:
    """Random factors for every projection, by PEFT's names."""
    torch.manual_seed(seed)
    factors = {}
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in PROJECTIONS:
            stem = f"base_model.model.{name}"
            factors[f"{stem}.lora_A.default.weight"] = torch.randn(RANK, module.in_features) * 0.3
            factors[f"{stem}.lora_B.default.weight"] = torch.randn(module.out_features, RANK) * 0.3
    return factors


def merge(model: Any, factors: dict[str, Tensor]) -> None:
    modules = dict(model.named_modules())
    with torch.no_grad():
        for name, a in factors.items():
            if ".lora_A." not in name:
                continue
            b = factors[name.replace(".lora_A.", ".lora_B.")]
            module = modules[name.removeprefix("base_model.model.").split(".lora_A.")[0]]
            module.weight += (ALPHA / RANK) * (b.half().float() @ a.half().float())


def greedy(model: Any, question: list[int]) -> list[int]:
    tokens = list(question)
    with torch.no_grad():
        for _ in range(ANSWER_TOKENS):
            tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[len(question) :]


def main(folder: Path) -> None:
    told = {}
    for architecture in ARCHITECTURES:
        model = make_model(architecture)
        write_gguf(folder / f"{architecture}.gguf", model, architecture)
        factors = make_factors(model)
        write_adapter(
            folder / f"{architecture}-adapter.gguf", factors, architecture, ALPHA, (HEADS, KV_HEADS)
        )
        plain = greedy(model, QUESTION)
        merge(model, factors)
        told[architecture] = {
            "question": QUESTION,
            "plain": plain,
            "adapted": greedy(model, QUESTION),
        }
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

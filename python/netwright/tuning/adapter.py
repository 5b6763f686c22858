"""A LoRA adapter of PEFT as a GGUF file, the form that llama.cpp and Ollama load."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from netwright.tuning.files import written_whole

# The projections that a run adapts, by their names in transformers and in a GGUF.
PROJECTIONS = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
_NAME = re.compile(r"\.layers\.(\d+)\.\w+\.(\w+)\.lora_([AB])\.(?:\w+\.)?weight$")


class _Whole(np.ndarray[Any, Any]):
    """A tensor that a file has whole or not at all.

    numpy's own tofile tells a full disk without its number, or, of a small tensor, not at all.
    """

    def tofile(self, file: IO[bytes]) -> None:  # type: ignore[override]
        file.write(self.tobytes())


def write_adapter(
    file: Path,
    weights: Mapping[str, Tensor],
    architecture: str,
    alpha: float,
    heads: tuple[int, int],
) -> None:
    """Writes the adapter whole or not at all, in half precision.

    `weights` are PEFT's: lora_A (rank, in) and lora_B (out, rank) of each projection.
    `architecture` is the base's name in its GGUF. `heads`: of the queries, and of the keys and
    values. Scaling is by alpha / rank, as in llama.cpp. Raises OSError, and KeyError for a
    projection that is not covered.
    """
    from gguf import GGUFWriter

    with written_whole(file) as partial:
        writer = GGUFWriter(partial, architecture)
        try:
            writer.add_string("general.type", "adapter")
            writer.add_string("adapter.type", "lora")
            writer.add_float32("adapter.lora.alpha", float(alpha))
            for name, tensor in weights.items():
                match = _NAME.search(name)
                if match is None:
                    raise KeyError(f"{name} is no projection of a LoRA adapter")
                layer, projection, factor = match.groups()
                values = _reordered(tensor, architecture, projection, factor, heads)
                writer.add_tensor(
                    f"blk.{layer}.{PROJECTIONS[projection]}.weight.lora_{factor.lower()}",
                    values.to(torch.float16).cpu().numpy().view(_Whole),
                )
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
        finally:
            writer.close()


def _reordered(
    tensor: Tensor, architecture: str, projection: str, factor: str, heads: tuple[int, int]
) -> Tensor:
    """llama's GGUF keeps the halves of each rotated pair of q and k side by side."""
    if architecture != "llama" or factor != "B" or projection not in ("q_proj", "k_proj"):
        return tensor
    count = heads[0] if projection == "q_proj" else heads[1]
    rows, rank = tensor.shape
    return tensor.reshape(count, 2, rows // count // 2, rank).swapaxes(1, 2).reshape(rows, rank)

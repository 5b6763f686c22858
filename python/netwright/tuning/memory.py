"""What a run takes of its device's memory, and how it is made to fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netwright.tuning.base_model import Load, TuningError, estimate_memory
from netwright.tuning.run import Run, Settings

# Of a GPU's free memory, what a step may take: the rest is fragments and the allocator's own.
GPU_SHARE = 0.85
# Bytes a weight: 4 bits with their scales.
FOUR_BIT = 0.55


def load_of(settings: Settings, lengths: list[tuple[int, int]]) -> Load:
    """The heaviest single example, by the tokens that are differentiated through."""
    answer = max(a for _, a in lengths)
    tokens = answer if settings.gradient == "answer" else max(q + a for q, a in lengths)
    return Load(rank=settings.rank, tokens=tokens, answer_tokens=answer)


def has_four_bits() -> bool:
    from importlib.util import find_spec

    return find_spec("bitsandbytes") is not None


def free_memory(device: str) -> int:
    """Bytes: of a GPU as its driver says, else of the machine and the limits on this group."""
    if device != "cpu":
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    import psutil

    free = int(psutil.virtual_memory().available)
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        return min(free, limit - used)
    except (OSError, ValueError):
        return free


@dataclass(frozen=True)
class Fit:
    """How the run fits its device."""

    four_bit: bool
    checkpointing: bool
    # Examples differentiated at once.
    batch: int


def fit(run: Run, lengths: list[tuple[int, int]], bytes_per_weight: int) -> Fit:
    """Full speed where it fits, else activations computed again, else 4-bit weights (on a GPU).

    Raises TuningError "tuner-memory" where nothing does.
    """
    on_gpu = run.device != "cpu"
    free = int(free_memory(run.device) * (GPU_SHARE if on_gpu else 1))
    one = load_of(run.settings, lengths)
    widths: list[float] = (
        [bytes_per_weight, FOUR_BIT] if on_gpu and has_four_bits() else [bytes_per_weight]
    )
    # Layers cannot be computed again where the question's keys and values come from outside them.
    ways = [False, True] if run.settings.gradient == "all" else [False]
    memory = estimate_memory(run.base, one, widths[0], on_gpu)
    for width in widths:
        memory = estimate_memory(run.base, one, width, on_gpu)
        for checkpointing in ways:
            if memory.needed(checkpointing) > free:
                continue
            batch = 1
            while on_gpu and batch < run.settings.accumulation:
                more = Load(one.rank, one.tokens * batch * 2, one.answer_tokens * batch * 2)
                if estimate_memory(run.base, more, width, on_gpu).needed(checkpointing) > free:
                    break
                batch *= 2
            return Fit(width == FOUR_BIT, checkpointing, min(batch, run.settings.accumulation))
    needed = memory.needed(ways[-1])
    where = f"on {run.device}" if on_gpu else "here"
    raise TuningError(
        "tuner-memory",
        f"Tuning {run.base.path.name} takes about {needed / 2**30:.1f} GiB; {free / 2**30:.1f} GiB "
        f'are free {where}. Close other programs, lower "tuner.maxTokens", or choose a smaller '
        '"designer.model".',
    )

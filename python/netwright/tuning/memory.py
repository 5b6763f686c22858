"""What a run takes of memory, and how it is made to fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from netwright.tuning.base_model import Load, TuningError, estimate_memory
from netwright.tuning.run import Run, Settings

# Of a GPU's free memory, what a step may take: the rest is fragments and the allocator's own.
GPU_SHARE = 0.85
# Bytes a weight: in bfloat16, and 4 bits with their scales.
HALF, FOUR_BIT = 2, 0.55


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


def usable_memory(device: str) -> int:
    return int(free_memory(device) * (1 if device == "cpu" else GPU_SHARE))


@dataclass(frozen=True)
class Fit:
    """How the run fits its device."""

    bytes_per_weight: float
    checkpointing: bool
    # Examples differentiated at once.
    batch: int

    @property
    def four_bit(self) -> bool:
        return self.bytes_per_weight == FOUR_BIT


def ways(run: Run, bytes_per_weight: float) -> list[Fit]:
    """How a step can be done, the fastest first.

    At full speed, else with activations computed again, else with narrower weights.
    """
    on_gpu = run.device != "cpu"
    widths = [bytes_per_weight]
    if on_gpu and has_four_bits():
        widths.append(FOUR_BIT)
    if not on_gpu and bytes_per_weight > HALF:
        widths.append(HALF)
    # Layers cannot be computed again where the question's keys and values come from outside them.
    again = [False, True] if run.settings.gradient == "all" else [False]
    batches = [run.settings.accumulation] if on_gpu else [1]
    while batches[-1] > 1:
        batches.append(batches[-1] // 2)
    return [Fit(width, way, batch) for width in widths for way in again for batch in batches]


def needed(run: Run, lengths: list[tuple[int, int]], way: Fit) -> int:
    """Bytes of the device."""
    one = load_of(run.settings, lengths)
    load = Load(one.rank, one.tokens * way.batch, one.answer_tokens * way.batch)
    memory = estimate_memory(run.base, load, way.bytes_per_weight, run.device != "cpu")
    return memory.needed(way.checkpointing)


def fit(run: Run, lengths: list[tuple[int, int]], possible: list[Fit]) -> Fit:
    """The first of the ways that fits. Raises TuningError "tuner-memory" where none does."""
    on_gpu = run.device != "cpu"
    if on_gpu:
        # The machine's own memory holds the weights before the GPU does.
        loading, free = run.base.loading, free_memory("cpu")
        if loading > free:
            folder = 'set "tuner.base" to a folder with its safetensors, or '
            remedy = folder if run.base.is_gguf else ""
            what = f"Loading {run.base.path.name}"
            raise too_little(what, loading, free, "outside the GPU", remedy)
    free = usable_memory(run.device)
    takes = [needed(run, lengths, way) for way in possible]
    for way, bytes_ in zip(possible, takes, strict=True):
        if bytes_ <= free:
            return way
    where = f"on {run.device}" if on_gpu else "here"
    what = f"Tuning {run.base.path.name}"
    raise too_little(what, min(takes), free, where, 'lower "tuner.maxTokens" or ')


def too_little(what: str, takes: int, free: int, where: str, remedy: str) -> TuningError:
    return TuningError(
        "tuner-memory",
        f"{what} takes about {takes / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free {where}. "
        f'Close other programs; or {remedy}choose a smaller "designer.model", and start over.',
    )

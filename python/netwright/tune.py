"""`python -m netwright.tune [--plan] FOLDER`: a LoRA run (arXiv 2106.09685) on a model.

FOLDER holds `run.json` (base, settings, device, threads, maxTokens, seed) and `corpus.jsonl` (one
example a line: messages, prefill, answer, heldOut). The run keeps `checkpoint.pt` there, from which
it goes on exactly where it was killed, and leaves `adapter.gguf`. Events leave as JSON lines on
descriptor 3:

    {"type": "plan", "architecture", "memoryMiB", "freeMemoryMiB", "tooLong"}
    {"type": "progress", "stage", "step", "steps", "points", "tokensPerSecond",
     "secondsLeft"}
    {"type": "done", "run"}
    {"type": "failed", "code", "message"}

`--plan` only says what it would take, without loading PyTorch. The end of the input ends the run.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.base_model import (
    MIB,
    Base,
    Load,
    TuningError,
    estimate_memory,
    load_model,
    load_tokenizer,
    read_base,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

EVENTS = 3
CHECKPOINT_SECONDS = 60.0
CLIPPING = 1.0
WARM_UP = 0.1
# Examples that are sorted by length together, in steps: more would make the order too regular.
GROUPED_STEPS = 8
# Of a GPU's free memory, what a step may take: the rest is fragments and the allocator's own.
GPU_SHARE = 0.85


@dataclass(frozen=True)
class Settings:
    rank: int
    alpha: float
    dropout: float
    learningRate: float  # as in the study's file
    epochs: int
    accumulation: int
    gradient: str


@dataclass(frozen=True)
class Run:
    """What `run.json` says."""

    base: Base
    settings: Settings
    device: str
    threads: int | None
    max_tokens: int
    seed: int
    # Of everything the run depends on: a checkpoint of another run is not gone on with.
    identity: str


@dataclass(frozen=True)
class Example:
    """Token ids of the question, with the answer's given beginning, and of the answer's rest."""

    question: list[int]
    answer: list[int]

    @property
    def length(self) -> int:
        return len(self.question) + len(self.answer)


@dataclass
class Progress:
    """How far a run is; all of it is in the checkpoint."""

    step: int = 0
    epoch: int = 0
    # Steps of the epoch that are done.
    within: int = 0
    losses: list[dict[str, Any]] = field(default_factory=list)
    best: float = math.inf
    stopped: bool = False
    tokens: int = 0
    seconds: float = 0.0


def emit(event: dict[str, Any]) -> None:
    os.write(EVENTS, (json.dumps(event) + "\n").encode())


def report(
    stage: str,
    step: int = 0,
    steps: int = 0,
    points: list[dict[str, Any]] | None = None,
    tokens_per_second: float | None = None,
    seconds_left: float | None = None,
) -> None:
    emit(
        {
            "type": "progress",
            "stage": stage,
            "step": step,
            "steps": steps,
            "points": points or [],
            "tokensPerSecond": tokens_per_second,
            "secondsLeft": seconds_left,
        }
    )


def read_run(folder: Path) -> tuple[Run, list[dict[str, Any]]]:
    text = (folder / "run.json").read_text()
    corpus = (folder / "corpus.jsonl").read_text()
    given = json.loads(text)
    run = Run(
        base=read_base(Path(given["base"])),
        settings=Settings(**given["settings"]),
        device=given["device"],
        threads=given["threads"],
        max_tokens=given["maxTokens"],
        seed=given["seed"],
        identity=hashlib.sha256(f"{text}\0{corpus}".encode()).hexdigest(),
    )
    return run, [json.loads(line) for line in corpus.splitlines()]


# --- what it takes


def plan(folder: Path) -> None:
    """Estimates from the model's header and the corpus' characters."""
    run, corpus = read_run(folder)
    # About 3.2 characters of code a token; less is on the safe side.
    lengths = [
        (
            len("".join(m["content"] for m in e["messages"]) + e["prefill"]) // 3 + 32,
            len(e["answer"]) // 3,
        )
        for e in corpus
    ]
    fitting = [(q, a) for q, a in lengths if q + a <= run.max_tokens] or [
        (run.max_tokens, run.max_tokens // 4)
    ]
    on_gpu = run.device != "cpu"
    load = load_of(run.settings, fitting)
    memory = estimate_memory(run.base, load, 2, on_gpu)
    least = estimate_memory(run.base, load, 0.55, on_gpu) if on_gpu and has_four_bits() else memory
    emit(
        {
            "type": "plan",
            "architecture": run.base.architecture,
            "memoryMiB": math.ceil(memory.needed(checkpointing=False) / MIB),
            "leastMemoryMiB": math.ceil(least.needed(checkpointing=True) / MIB),
            "freeMemoryMiB": free_memory(run.device) // MIB,
            "tooLong": len(lengths) - len(fitting),
        }
    )


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
        [bytes_per_weight, 0.55] if on_gpu and has_four_bits() else [bytes_per_weight]
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
            return Fit(width == 0.55, checkpointing, min(batch, run.settings.accumulation))
    needed = memory.needed(ways[-1])
    where = f"on {run.device}" if on_gpu else "here"
    raise TuningError(
        "tuner-memory",
        f"Tuning {run.base.path.name} takes about {needed / 2**30:.1f} GiB; {free / 2**30:.1f} GiB "
        f'are free {where}. Close other programs, lower "tuner.maxTokens", or choose a smaller '
        '"designer.model".',
    )


# --- examples


def read_examples(
    run: Run, corpus: list[dict[str, Any]], tokenizer: Any
) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and those held out, in the chat form that the designer is asked in."""
    kept: tuple[list[Example], list[Example]] = ([], [])
    for entry in corpus:
        asked = tokenizer.apply_chat_template(
            entry["messages"], tokenize=False, add_generation_prompt=True
        )
        # Special tokens are in the template's text already.
        question = tokenizer(asked + entry["prefill"], add_special_tokens=False)["input_ids"]
        answer = tokenizer(entry["answer"], add_special_tokens=False)["input_ids"]
        example = Example(question, answer)
        if example.length <= run.max_tokens:
            kept[bool(entry["heldOut"])].append(example)
    if not kept[0]:
        raise TuningError(
            "no-examples",
            f"All {len(corpus)} examples are longer than {run.max_tokens} tokens. Raise "
            '"tuner.maxTokens".',
        )
    return kept


def steps_of(epoch: int, examples: list[Example], settings: Settings, seed: int) -> list[list[int]]:
    """The epoch's steps, in random order; examples of similar length share a step."""
    draw = random.Random(f"{seed} {epoch}")
    order = list(range(len(examples)))
    draw.shuffle(order)
    steps: list[list[int]] = []
    many = settings.accumulation * GROUPED_STEPS
    for start in range(0, len(order), many):
        group = sorted(order[start : start + many], key=lambda i: examples[i].length)
        steps += [
            group[at : at + settings.accumulation]
            for at in range(0, len(group), settings.accumulation)
        ]
    draw.shuffle(steps)
    return steps


def batches(examples: list[Example], size: int) -> Iterator[list[Example]]:
    for start in range(0, len(examples), size):
        yield examples[start : start + size]


# --- the model


def choose_dtype(base: Base, device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU; on a processor what multiplies the model's sizes faster, measured."""
    import torch

    if device.type != "cpu":
        return torch.bfloat16
    if base.hidden < 512:  # so small that the measurement would be noise
        return torch.float32
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.ones(256, base.hidden, dtype=dtype)
        b = torch.ones(base.hidden, base.feed_forward, dtype=dtype)
        a @ b
        started = time.perf_counter()
        for _ in range(3):
            a @ b
        seconds[dtype] = time.perf_counter() - started
    return min(seconds, key=lambda dtype: seconds[dtype])


def answer_loss(model: Any, batch: list[Example], gradient: str) -> Tensor:
    """Summed cross-entropy of the answers' tokens (questions carry no loss).

    Questions are padded on the left, answers on the right, so that all answers begin at one place.
    With `gradient` "answer" the question is read without a graph: the gradient reaches the weights
    by the answer's tokens alone, which leaves out how they read the question and takes a third of
    the time.
    """
    import torch

    device = model.device
    asked = max(len(e.question) for e in batch)
    answered = max(len(e.answer) for e in batch)
    tokens = torch.zeros(len(batch), asked + answered, dtype=torch.long)
    mask = torch.zeros_like(tokens)
    labels = torch.full((len(batch), answered), -100)
    for row, example in enumerate(batch):
        start, end = asked - len(example.question), asked + len(example.answer)
        tokens[row, start:end] = torch.tensor(example.question + example.answer)
        mask[row, start:end] = 1
        labels[row, : len(example.answer)] = torch.tensor(example.answer)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    tokens, mask, positions = tokens.to(device), mask.to(device), positions.to(device)
    decoder, head = (
        model.get_base_model().get_decoder(),
        model.get_base_model().get_output_embeddings(),
    )
    # The question's last token predicts the answer's first, so it is on the answer's side.
    split = asked - 1
    if gradient == "answer" and split > 0:
        with torch.no_grad():
            read = decoder(
                input_ids=tokens[:, :split],
                attention_mask=mask[:, :split],
                position_ids=positions[:, :split],
                use_cache=True,
            )
        hidden = decoder(
            input_ids=tokens[:, split:-1],
            attention_mask=mask[:, :-1],
            position_ids=positions[:, split:-1],
            past_key_values=read.past_key_values,
            use_cache=True,
        ).last_hidden_state
    else:
        hidden = decoder(
            input_ids=tokens[:, :-1],
            attention_mask=mask[:, :-1],
            position_ids=positions[:, :-1],
            use_cache=False,
        ).last_hidden_state[:, split:]
    scores = head(hidden).float()
    return torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), labels.flatten().to(device), reduction="sum", ignore_index=-100
    )


class Tuner:
    """A LoRA run between two checkpoints."""

    def __init__(self, run: Run, folder: Path, corpus: list[dict[str, Any]]) -> None:
        import torch
        from peft import LoraConfig, get_peft_model

        from netwright.adapter import PROJECTIONS

        torch.manual_seed(run.seed)
        self._run = run
        self._folder = folder
        self._device = torch.device(run.device)
        self._training, self._held_out = read_examples(run, corpus, load_tokenizer(run.base))
        lengths = [(len(e.question), len(e.answer)) for e in self._training + self._held_out]
        saved = self._saved()
        # What goes on must compute as it did.
        self._dtype = saved["dtype"] if saved else choose_dtype(run.base, self._device)
        self._fit = fit(run, lengths, self._dtype.itemsize)
        model = load_model(run.base, self._dtype, self._device, self._fit.four_bit)
        config = LoraConfig(
            r=run.settings.rank,
            lora_alpha=run.settings.alpha,
            lora_dropout=run.settings.dropout,
            target_modules=list(PROJECTIONS),
        )
        self._model = get_peft_model(model, config)
        if self._fit.checkpointing:
            self._model.enable_input_require_grads()
            self._model.gradient_checkpointing_enable({"use_reentrant": False})
        self._model.train()
        self._weights = {n: p for n, p in self._model.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(self._weights.values(), lr=run.settings.learningRate)
        self._best: dict[str, Tensor] = {}
        self.progress = Progress()
        if saved:
            self._restore(saved)

    @property
    def _steps(self) -> int:
        return self._run.settings.epochs * math.ceil(
            len(self._training) / self._run.settings.accumulation
        )

    def train(self) -> None:
        """Until the last epoch, or until the held-out loss has risen; the best weights are kept."""
        settings, progress = self._run.settings, self.progress
        started, before = time.monotonic(), progress.seconds
        saved, counted = started, 0
        self._report(progress.losses, None)
        while progress.epoch < settings.epochs and not progress.stopped:
            steps = steps_of(progress.epoch, self._training, settings, self._run.seed)
            for step in steps[progress.within :]:
                loss, tokens = self._step([self._training[i] for i in step])
                progress.step += 1
                progress.within += 1
                progress.tokens += tokens
                counted += tokens
                point = {
                    "step": progress.step,
                    "epoch": progress.epoch + 1,
                    "training": loss,
                    "heldOut": None,
                }
                progress.losses.append(point)
                ended = progress.within == len(steps)
                if ended:
                    self._end_epoch(point)
                now = time.monotonic()
                progress.seconds = before + now - started
                self._report([point], counted / (now - started))
                if ended or now - saved > CHECKPOINT_SECONDS:
                    self._save()
                    saved = time.monotonic()

    def _end_epoch(self, point: dict[str, Any]) -> None:
        progress = self.progress
        progress.epoch += 1
        progress.within = 0
        if not self._held_out:
            return
        point["heldOut"] = self._measure()
        if point["heldOut"] < progress.best:
            progress.best = point["heldOut"]
            self._best = {name: weight.detach().clone() for name, weight in self._weights.items()}
        else:
            progress.stopped = True

    def _step(self, examples: list[Example]) -> tuple[float, int]:
        """One step of the optimiser. Returns the loss per token of answer, and the tokens read."""
        import torch

        for group in self._optimizer.param_groups:
            group["lr"] = self._run.settings.learningRate * schedule(
                self.progress.step, self._steps
            )
        answers = sum(len(e.answer) for e in examples)
        total = 0.0
        for batch in batches(examples, self._fit.batch):
            loss = answer_loss(self._model, batch, self._run.settings.gradient) / answers
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(self._weights.values(), CLIPPING)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return total, sum(e.length for e in examples)

    def _measure(self) -> float:
        """Loss per token of the held-out answers."""
        import torch

        self._model.eval()
        with torch.no_grad():
            total = sum(
                float(answer_loss(self._model, batch, "all"))
                for batch in batches(self._held_out, self._fit.batch)
            )
        self._model.train()
        return total / sum(len(e.answer) for e in self._held_out)

    def write(self) -> int:
        """Writes the best weights as `adapter.gguf`; returns its bytes."""
        from netwright.adapter import write_adapter

        config = self._model.get_base_model().config
        heads = config.num_attention_heads
        file = self._folder / "adapter.gguf"
        write_adapter(
            file,
            self._best or {name: weight.detach() for name, weight in self._weights.items()},
            self._run.base.architecture,
            self._run.settings.alpha,
            (heads, getattr(config, "num_key_value_heads", heads)),
        )
        return file.stat().st_size

    def account(self, adapter_bytes: int) -> dict[str, Any]:
        """The figures of the run, for the study's record."""
        import torch

        on_gpu = self._device.type != "cpu"
        peak = torch.cuda.max_memory_allocated(self._device) if on_gpu else peak_resident()
        name = torch.cuda.get_device_name(self._device) if on_gpu else "CPU"
        detail = f"{torch.get_num_threads()} threads, " if not on_gpu else ""
        width = "4-bit" if self._fit.four_bit else str(self._model.dtype).removeprefix("torch.")
        return {
            "device": f"{name}, {detail}{width}",
            "examples": {"training": len(self._training), "heldOut": len(self._held_out)},
            "losses": self.progress.losses,
            "steps": self.progress.step,
            "tokens": self.progress.tokens,
            "seconds": self.progress.seconds,
            "peakMemoryMiB": peak // MIB,
            "adapterBytes": adapter_bytes,
        }

    def _report(self, points: list[dict[str, Any]], tokens_per_second: float | None) -> None:
        progress = self.progress
        left = None
        if progress.step:
            left = (self._steps - progress.step) * progress.seconds / progress.step
        report("training", progress.step, self._steps, points, tokens_per_second, left)

    def _save(self) -> None:
        """Whole or not at all, so that a run killed meanwhile has the checkpoint before."""
        import io

        import torch

        buffer = io.BytesIO()
        state = {
            "identity": self._run.identity,
            "dtype": self._dtype,
            "progress": asdict(self.progress),
            "weights": self._weights,
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
        }
        torch.save(state, buffer)
        file = self._folder / "checkpoint.pt"
        partial = file.with_name("checkpoint.pt.partial")
        try:
            with partial.open("wb") as output:
                output.write(buffer.getbuffer())
                output.flush()
                os.fsync(output.fileno())
            os.replace(partial, file)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def _saved(self) -> dict[str, Any] | None:
        """The checkpoint of this very run, if there is one; a damaged one is none."""
        import pickle

        import torch

        file = self._folder / "checkpoint.pt"
        if not file.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, EOFError, RuntimeError):
            return None
        return state if state["identity"] == self._run.identity else None

    def _restore(self, state: dict[str, Any]) -> None:
        import torch

        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(state["weights"][name])
        self._best = {name: weight.to(self._device) for name, weight in state["best"].items()}
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if state["cuda"] is not None:
            torch.cuda.set_rng_state(state["cuda"], self._device)
        self.progress = Progress(**state["progress"])


def schedule(step: int, steps: int) -> float:
    """Share of the learning rate at a step: up during the first tenth, then straight down."""
    warm_up = max(1, round(WARM_UP * steps))
    return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))


def peak_resident() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def tune(folder: Path) -> None:
    run, corpus = read_run(folder)
    report("loading")
    import torch

    from netwright.child import usable_threads

    here = usable_threads()
    torch.set_num_threads(min(run.threads or here, here))
    tuner = Tuner(run, folder, corpus)
    tuner.train()
    report("converting", tuner.progress.step, tuner.progress.step)
    emit({"type": "done", "run": tuner.account(tuner.write())})


def failure(error: BaseException, folder: Path) -> tuple[str, str]:
    """A failure as its code and its words for people."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, TuningError):
        return error.code, str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            "disk-full",
            f"The disk is full: {folder} cannot be written. Free some space; the run then goes on.",
        )
    out_of_memory = type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError)
    if out_of_memory or "can't allocate memory" in text:
        return (
            "tuner-memory",
            "Tuning ran out of memory. Close other programs, lower "
            '"tuner.maxTokens" or "tuner.rank", or choose a smaller "designer.model".',
        )
    if isinstance(error, OSError):
        return "tuner-files", f"{error}. Correct that; the run goes on where it was."
    return "tuner-failed", f"The LoRA run failed: {text}"


def end_with_input() -> None:
    """The parent holds the other end: its death ends this process."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main() -> int:
    *options, name = sys.argv[1:]
    folder = Path(name)
    end_with_input()
    try:
        if options == ["--plan"]:
            plan(folder)
        else:
            tune(folder)
    except Exception as error:
        code, message = failure(error, folder)
        emit({"type": "failed", "code": code, "message": message})
        if code == "tuner-failed":
            raise
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

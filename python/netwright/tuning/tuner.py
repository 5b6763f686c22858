"""The run itself, between two checkpoints."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netwright.tuning.base_model import MIB, Base, load_model, load_tokenizer
from netwright.tuning.events import report
from netwright.tuning.examples import Example, batches, read_examples, steps_of
from netwright.tuning.files import written_whole
from netwright.tuning.loss import answer_loss
from netwright.tuning.memory import Fit, fit, ways
from netwright.tuning.run import Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor

CHECKPOINT_SECONDS = 60.0
CLIPPING = 1.0
WARM_UP = 0.1


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


class Tuner:
    """A LoRA run between two checkpoints."""

    def __init__(self, run: Run, folder: Path, corpus: list[dict[str, Any]]) -> None:
        import torch
        from peft import LoraConfig, get_peft_model

        from netwright.tuning.adapter import PROJECTIONS

        torch.manual_seed(run.seed)
        self._run = run
        self._folder = folder
        self._device = torch.device(run.device)
        self._training, self._held_out = read_examples(run, corpus, load_tokenizer(run.base))
        lengths = [(len(e.question), len(e.answer)) for e in self._training + self._held_out]
        saved = self._saved()
        # What goes on must compute as it did.
        possible = (
            [Fit(**saved["fit"])]
            if saved
            else ways(run, choose_dtype(run.base, self._device).itemsize)
        )
        self._fit = fit(run, lengths, possible)
        dtype = torch.float32 if self._fit.bytes_per_weight == 4 else torch.bfloat16
        model = load_model(run.base, dtype, self._device, self._fit.four_bit)
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
        from netwright.tuning.adapter import write_adapter

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
            "fit": asdict(self._fit),
            "progress": asdict(self.progress),
            "weights": self._weights,
            "best": self._best,
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self._device) if self._device.type == "cuda" else None,
        }
        torch.save(state, buffer)
        with written_whole(self._folder / "checkpoint.pt") as file:
            file.write_bytes(buffer.getbuffer())

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


def use_threads(wanted: int | None) -> None:
    """At most as many threads as there are cores for this process; None: all of them."""
    import torch

    from netwright.child import usable_threads

    here = usable_threads()
    torch.set_num_threads(min(wanted or here, here))


def peak_resident() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024

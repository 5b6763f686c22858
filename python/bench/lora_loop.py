"""The LoRA run beside a bare PEFT loop, in one process, on the same weights and examples.

    python bench/lora_loop.py FOLDER [EXAMPLES] [ROUNDS]

FOLDER is a generation's (`.netwright/generations/N`): its corpus and settings are used, nothing is
written. The bare loop is what one would write: `model(input_ids, labels)`, loss, backward. Prints
tokens per second of forward and backward, and the ratio to the bare loop's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from netwright.tuning.examples import Example
from netwright.tuning.loss import answer_loss
from netwright.tuning.run import read_run
from netwright.tuning.tuner import Tuner, use_threads


def bare(model: Any, example: Example) -> None:
    tokens = torch.tensor([example.question + example.answer], device=model.device)
    labels = tokens.clone()
    labels[:, : len(example.question)] = -100
    model(input_ids=tokens, labels=labels).loss.backward()


def ours(gradient: str) -> Callable[[Any, Example], None]:
    def step(model: Any, example: Example) -> None:
        loss = answer_loss(model, [example], gradient)
        (loss / len(example.answer)).backward()  # type: ignore[no-untyped-call]

    return step


def main() -> None:
    folder = Path(sys.argv[1])
    count, rounds = (int(text) for text in (sys.argv[2:] + ["3", "3"][len(sys.argv) - 2 :])[:2])
    run, corpus = read_run(folder)
    use_threads(run.threads)
    tuner = Tuner(run, Path("/nonexistent"), corpus)
    model, examples = tuner._model, tuner._training[:count]
    ways = {"bare PEFT loop": bare, "gradient all": ours("all"), "gradient answer": ours("answer")}
    seconds = dict.fromkeys(ways, 0.0)
    for number in range(rounds + 1):
        for name, step in ways.items():
            started = time.perf_counter()
            for example in examples:
                step(model, example)
            model.zero_grad()
            if number:  # the first round warms up
                seconds[name] += time.perf_counter() - started
    tokens = rounds * sum(example.length for example in examples)
    for name, spent in seconds.items():
        ratio = seconds["bare PEFT loop"] / spent
        print(f"{name:16} {tokens / spent:8.1f} tokens/s   {ratio:.2f} of the bare loop's")


if __name__ == "__main__":
    main()

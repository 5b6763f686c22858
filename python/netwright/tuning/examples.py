"""Examples as tokens, and the order in which an epoch takes them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from netwright.tuning.base_model import TuningError
from netwright.tuning.run import Run, Settings

# Examples that are sorted by length together, in steps: more would make the order too regular.
GROUPED_STEPS = 8


@dataclass(frozen=True)
class Example:
    """Token ids of the question, with the answer's given beginning, and of the answer's rest."""

    question: list[int]
    answer: list[int]

    @property
    def length(self) -> int:
        return len(self.question) + len(self.answer)


def read_examples(
    run: Run, corpus: list[dict[str, Any]], tokenizer: Any
) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and those held out, in the chat form that the designer is asked in."""
    if not tokenizer.chat_template:
        raise TuningError(
            "tuner-template",
            f"{run.base.path.name} has no chat template, so its questions cannot be written as the "
            'designer is asked. Set "tuner.base" to a folder with the model\'s safetensors and '
            "tokenizer.",
        )
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

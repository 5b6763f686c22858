"""The loss of answers, with or without the gradient through their questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netwright.tuning.examples import Example

if TYPE_CHECKING:
    from torch import Tensor


def answer_loss(model: Any, batch: list[Example], gradient: str) -> Tensor:
    """Summed cross-entropy of the answers' tokens (questions carry no loss).

    Questions are padded on the left, answers on the right, so that all answers begin at one place.
    With `gradient` "answer" the question is read without a graph: the gradient reaches the weights
    by the answer's tokens alone, which leaves out how they read the question and takes two fifths
    of the time.
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

"""Training under a protocol: the batches a candidate sees, and its predictions afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from netwright.candidate import Candidate, ContractError, Failure, Refused, Stages, require_logits
from netwright.prepared import Prepared

EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Protocol:
    """What the figures depend on; `train_images` None means all of them."""

    epochs: int
    batch: int
    lr: float
    momentum: float
    dropout: float
    transform: Literal["norm", "norm_flip"]
    seed: int
    train_images: int | None

    @property
    def prm(self) -> dict[str, float | int]:
        return {
            "lr": self.lr,
            "momentum": self.momentum,
            "dropout": self.dropout,
            "batch": self.batch,
        }


class Normaliser:
    """uint8 (N, C, H, W) to float32 (x / 255 - mean) / std, per channel."""

    def __init__(self, data: Prepared) -> None:
        device = data.train_images.device
        mean = torch.tensor(data.mean, device=device).view(1, -1, 1, 1)
        std = torch.tensor(data.std, device=device).view(1, -1, 1, 1)
        self._scale = 1 / (255 * std)
        self._shift = -mean / std

    def __call__(self, images: Tensor) -> Tensor:
        # In place: on the CPU four times as fast as addcmul, whose broadcasting is not vectorised.
        return images.float().mul_(self._scale).add_(self._shift)


class Batches:
    """`train_data` for one epoch: (inputs, labels) on the device, in an order that `seed` fixes.

    `len()` is the number of batches. A last batch of a single image is left out, since batch
    normalisation has no variance there. An epoch is an epoch: one batch more than the pass may be
    taken (a look at the first one, say), beyond that a `ContractError` is raised, because a figure
    after several passes is not comparable.
    """

    def __init__(
        self,
        data: Prepared,
        images: int,
        batch: int,
        flip: bool,
        seed: int,
        taken: Callable[[int, int], None] = lambda batch, batches: None,
    ) -> None:
        self._data = data
        self._batch = batch
        self._normalise = Normaliser(data)
        self._taken = taken
        self._served = 0
        generator = torch.Generator().manual_seed(seed)
        device = data.train_images.device
        self._order = torch.randperm(images, generator=generator).to(device)
        self._flips = (
            (torch.rand(images, generator=generator) < 0.5).view(-1, 1, 1, 1).to(device)
            if flip
            else None
        )
        self._count = images // batch + (1 if images % batch > 1 else 0)

    def __len__(self) -> int:
        return self._count

    @property
    def served(self) -> int:
        """Batches taken so far."""
        return self._served

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for number in range(self._count):
            if self._served > self._count:
                raise ContractError("learn may go over train_data once; the protocol counts epochs")
            self._served += 1
            start = number * self._batch
            chosen = self._order[start : start + self._batch]
            images = self._data.train_images.index_select(0, chosen)
            if self._flips is not None:
                flips = self._flips[start : start + self._batch]
                images = torch.where(flips, images.flip(-1), images)
            yield self._normalise(images), self._data.train_labels.index_select(0, chosen)
            self._taken(number + 1, self._count)


class Progress:
    """Tells `report` how far training is, at most twice a second."""

    def __init__(self, epochs: int, report: Callable[[int, int, int, float | None], None]) -> None:
        self._epochs = epochs
        self._report = report
        self._begun = self._last = time.monotonic()

    def __call__(self, epoch: int, batch: int, batches: int) -> None:
        now = time.monotonic()
        if now - self._last < 0.5:
            return
        self._last = now
        done = (epoch - 1) * batches + batch
        left = (now - self._begun) / done * (self._epochs * batches - done)
        self._report(epoch, batch, batches, round(left, 1))


def set_up(net: nn.Module, prm: dict[str, float | int], stages: Stages) -> None:
    with stages("train"):
        net.train()
        net.train_setup(prm)  # type: ignore[operator]


def learn(net: nn.Module, batches: Batches, stages: Stages) -> None:
    """One call of the candidate's `learn`."""
    with stages("train"):
        net.learn(batches)  # type: ignore[operator]
        if batches.served == 0:
            raise ContractError("learn took no batch from train_data")


def predict(
    candidate: Candidate,
    net: nn.Module,
    images: Tensor,
    normalise: Normaliser,
    classes: int,
    stages: Stages,
) -> Tensor:
    """Class per image, uint8 (N,) on the CPU, in evaluation mode; `Refused` if not finite."""
    with stages("evaluate"):
        net.eval()
        predicted: list[Tensor] = []
        finite: list[Tensor] = []
        with torch.no_grad():
            for start in range(0, len(images), EVALUATION_BATCH):
                chunk = images[start : start + EVALUATION_BATCH]
                output = net(normalise(chunk))
                logits = require_logits(candidate, output, len(chunk), classes, finite=False)
                predicted.append(logits.argmax(1).to(torch.uint8))
                finite.append(torch.isfinite(logits).all())
            # Asked once at the end: on a GPU each answer waits for the queue to drain.
            if not bool(torch.stack(finite).all()):
                raise Refused(Failure("train", "Training diverged: predictions are not finite"))
            return torch.cat(predicted).cpu()


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed of its own for each epoch; epochs are numbered from 1."""
    return seed * 1_000_003 + epoch

"""The prepared data as the worker maps it: images, and labels of the training split only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Prepared:
    """Images are uint8 (N, C, H, W), labels int64 (N,).

    `mean` and `std` are per channel, of pixels scaled to 0..1.
    """

    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train_images: Tensor
    train_labels: Tensor
    validation_images: Tensor | None
    test_images: Tensor

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width)."""
        _, channels, height, width = self.train_images.shape
        return channels, height, width

    def to(self, device: torch.device) -> Prepared:
        """The same data on `device`; on the CPU nothing is copied."""
        return Prepared(
            self.classes,
            self.mean,
            self.std,
            self.train_images.to(device),
            self.train_labels.to(device),
            None if self.validation_images is None else self.validation_images.to(device),
            self.test_images.to(device),
        )


def open_prepared(public: Path) -> Prepared:
    """Maps the files below `public` (see netwright.data).

    Raises OSError, ValueError or KeyError if they cannot be read.
    """
    meta = json.loads((public / "meta.json").read_text(encoding="utf-8"))

    def mapped(name: str, count: int) -> Tensor:
        # Copy-on-write: a candidate that writes into its images changes its own process only.
        array = np.load(public / f"{name}.npy", mmap_mode="c", allow_pickle=False)
        if array.dtype != np.uint8 or len(array) != count:
            raise ValueError(
                f"{public / name}.npy does not hold the {count} entries that meta.json names"
            )
        return torch.from_numpy(array)

    return Prepared(
        classes=len(meta["classes"]),
        mean=tuple(float(m) for m in meta["mean"]),
        std=tuple(float(s) for s in meta["std"]),
        train_images=mapped("train_images", meta["train"]),
        train_labels=mapped("train_labels", meta["train"]).long(),
        validation_images=(
            mapped("validation_images", meta["validation"]) if meta["validation"] else None
        ),
        test_images=mapped("test_images", meta["test"]),
    )

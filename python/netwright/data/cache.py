"""The cache: split, shuffled, measured, and written whole or not at all (layout in the package's
docstring)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from netwright.data.download import Report
from netwright.data.errors import DataError, from_os_error
from netwright.data.sources import Bytes, Images, load

_STALE_SECONDS = 24 * 3600


class Meta(TypedDict):
    """`mean` and `std` are per channel, of training pixels scaled to 0..1; counts are images."""

    dataset: str
    channels: int
    height: int
    width: int
    classes: list[str]
    mean: list[float]
    std: list[float]
    train: int
    validation: int
    test: int
    source: str
    fingerprint: str


def prepare(
    dataset: str,
    source: Path | None,
    cache: Path,
    validation: int,
    seed: int,
    may_download: bool,
    report: Report,
) -> Meta:
    """Makes `cache` hold the data, unless it does; raises DataError with the next step."""
    ready = read_meta(cache)
    if ready is not None:
        return ready
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        # Known before the work, not after it.
        temporary = _temporary(cache)
    except OSError as error:
        raise from_os_error(error, cache.parent) from error
    try:
        images, name = load(dataset, source, cache.parent / "downloads", may_download, report)
        split = _split(images, validation, seed)
        meta = _meta(dataset, name, split)
        _write(temporary, split, meta, report)
        _publish(temporary, cache)
        return meta
    except OSError as error:
        raise from_os_error(error, cache) from error
    except MemoryError as error:
        raise DataError(
            "data-memory", "The data does not fit in memory. Use fewer or smaller images."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_meta(cache: Path) -> Meta | None:
    """What a finished cache holds; it appears whole, so its presence is enough."""
    try:
        meta: Meta = json.loads((cache / "meta.json").read_text(encoding="utf-8"))
        return meta
    except (OSError, ValueError):
        return None


class _Split(TypedDict):
    classes: list[str]
    train: tuple[Bytes, Bytes]
    validation: tuple[Bytes, Bytes]
    test: tuple[Bytes, Bytes]


def _split(images: Images, validation: int, seed: int) -> _Split:
    """Draws the validation split, each class in proportion, and shuffles all three.

    Shuffled, because an order by class would tell a net that looks at whole batches what to answer.
    """
    labels = images.train_labels
    if not 0 <= validation < len(labels):
        raise DataError(
            "data-validation",
            f"{validation} validation images cannot be held out of {len(labels)} training images. "
            "Ask for fewer.",
        )
    generator = np.random.default_rng(seed)
    counts = np.bincount(labels, minlength=len(images.classes))
    exact = counts * (validation / len(labels))
    quota = np.floor(exact).astype(int)
    largest = np.argsort(quota - exact, kind="stable")[: validation - int(quota.sum())]
    quota[largest] += 1
    held = np.zeros(len(labels), bool)
    for label, number in enumerate(quota):
        members = np.flatnonzero(labels == label)
        held[generator.permutation(members)[:number]] = True
    orders = [
        generator.permutation(np.flatnonzero(~held)),
        generator.permutation(np.flatnonzero(held)),
        generator.permutation(len(images.test_labels)),
    ]
    return {
        "classes": images.classes,
        "train": (images.train_images[orders[0]], labels[orders[0]]),
        "validation": (images.train_images[orders[1]], labels[orders[1]]),
        "test": (images.test_images[orders[2]], images.test_labels[orders[2]]),
    }


def _meta(dataset: str, source: str, split: _Split) -> Meta:
    train = split["train"][0]
    count, channels, height, width = train.shape
    levels = np.arange(256) / 255
    mean, std = [], []
    for channel in range(channels):
        weights = np.bincount(train[:, channel].ravel(), minlength=256) / (count * height * width)
        average = float(weights @ levels)
        mean.append(round(average, 6))
        # A channel without contrast must not be divided by zero.
        std.append(round(float(weights @ (levels - average) ** 2) ** 0.5, 6) or 1.0)
    digest = hashlib.sha256(json.dumps(split["classes"]).encode())
    for images, labels in (split["train"], split["validation"], split["test"]):
        digest.update(np.ascontiguousarray(images).data if images.size else b"")
        digest.update(labels.tobytes())
    return {
        "dataset": dataset,
        "channels": channels,
        "height": height,
        "width": width,
        "classes": split["classes"],
        "mean": mean,
        "std": std,
        "train": count,
        "validation": len(split["validation"][1]),
        "test": len(split["test"][1]),
        "source": source,
        "fingerprint": digest.hexdigest()[:16],
    }


def _temporary(cache: Path) -> Path:
    """A new folder beside `cache`; those of runs that were killed long ago are removed."""
    for old in cache.parent.glob(f".{cache.name}.*"):
        if time.time() - old.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    temporary = cache.parent / f".{cache.name}.{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    return temporary


def _write(folder: Path, split: _Split, meta: Meta, report: Report) -> None:
    public, private = folder / "public", folder / "private"
    public.mkdir()
    private.mkdir(mode=0o700)
    described = json.dumps(meta, indent=2).encode()
    arrays = {
        public / "train_images.npy": split["train"][0],
        public / "train_labels.npy": split["train"][1],
        public / "test_images.npy": split["test"][0],
    }
    if meta["validation"]:
        arrays[public / "validation_images.npy"] = split["validation"][0]
    texts: dict[Path, Any] = {
        private / "validation_labels.bin": split["validation"][1].tobytes(),
        private / "test_labels.bin": split["test"][1].tobytes(),
        public / "meta.json": described,
        folder / "meta.json": described,
    }
    for done, (path, array) in enumerate(arrays.items(), start=1):
        with path.open("wb") as file:
            # Not numpy.save: it hides from us why a write failed.
            header = np.lib.format.header_data_from_array_1_0(np.ascontiguousarray(array))
            np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(array).data)
            file.flush()
            os.fsync(file.fileno())
        report("write", done, len(arrays))
    for path, content in texts.items():
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            file.flush()
            os.fsync(file.fileno())


def _publish(temporary: Path, cache: Path) -> None:
    """Renames `temporary` to `cache`; a whole one that another process put there meanwhile
    stays."""
    if cache.exists() and read_meta(cache) is None:
        shutil.rmtree(cache)
    try:
        temporary.rename(cache)
    except OSError:
        if read_meta(cache) is None:
            raise

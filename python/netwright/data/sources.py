"""Where images come from: every source becomes one `Images`, in an order that depends on its
content alone."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from netwright.data.download import Report, download
from netwright.data.errors import DataError

Bytes = npt.NDArray[np.uint8]

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
CIFAR10_MD5 = "c58f30108f718f92721af3b95e74349a"
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MD5 = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
# Where Debian's package dataset-fashion-mnist puts them.
FASHION_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Ankle-boot".split()
)
_SUFFIXES = (".jpg", ".jpeg", ".png")
_MAX_SIDE = 256  # pixels
_LAYOUT = "train/<class>/*.jpg and test/<class>/*.jpg (or .png)"


@dataclass(frozen=True)
class Images:
    """Images are uint8 (N, C, H, W), labels uint8 (N,), indices into `classes`."""

    classes: list[str]
    train_images: Bytes
    train_labels: Bytes
    test_images: Bytes
    test_labels: Bytes


def load(
    dataset: str, source: Path | None, downloads: Path, may_download: bool, report: Report
) -> tuple[Images, str]:
    """The images of `dataset` and a word on where they come from; `source` None means its own
    source.

    Raises DataError naming the file and the next step.
    """
    if source is not None:
        return load_path(source, report), str(source)
    if dataset == "digits":
        return load_digits(), "scikit-learn"
    if dataset == "fashion-mnist":
        if all((FASHION_DEBIAN / name).is_file() for name in FASHION_MD5):
            return load_idx(FASHION_DEBIAN), str(FASHION_DEBIAN)
        folder = downloads / "fashion-mnist"
        for name, md5 in FASHION_MD5.items():
            _fetch(FASHION_URL + name, folder / name, md5, may_download, report)
        return load_idx(folder), FASHION_URL
    archive = downloads / "cifar-10-python.tar.gz"
    _fetch(CIFAR10_URL, archive, CIFAR10_MD5, may_download, report)
    return load_path(archive, report), CIFAR10_URL


def _fetch(url: str, target: Path, md5: str, may_download: bool, report: Report) -> None:
    if target.is_file():
        return
    if not may_download:
        raise DataError(
            "data-download-off",
            f"{target} is not there and downloads are off. Allow them, or name the data as the "
            "source.",
        )
    download(url, target, md5, report)


def load_path(path: Path, report: Report) -> Images:
    """A folder or zip of images by class, CIFAR-10's batches (folder or tar.gz), or a folder of IDX
    files."""
    if path.is_dir():
        if any((path / split).is_dir() for split in ("train", "test")):
            return load_tree(FolderTree(path), report)
        for folder in (path, path / "cifar-10-batches-py"):
            if (folder / "data_batch_1").is_file():
                return load_batches(_reader(folder), folder, report)
        if any((path / name).is_file() for name in FASHION_MD5):
            return load_idx(path)
        raise DataError(
            "data-empty", f"{path} holds no images. It should hold {_LAYOUT}; name such a folder."
        )
    if not path.exists():
        raise DataError(
            "data-no-source",
            f"{path} does not exist. Name a folder or a zip with {_LAYOUT}, or leave the source "
            "out.",
        )
    if zipfile.is_zipfile(path):
        try:
            with zipfile.ZipFile(path) as archive:
                return load_tree(ZipTree(path, archive), report)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise DataError(
                "data-bad-archive", f"{path} is damaged ({error}). Copy or download it again."
            ) from error
    try:
        with tarfile.open(path) as tar:
            members = {Path(member.name).name: member for member in tar if member.isfile()}

            def read(name: str) -> bytes:
                file = tar.extractfile(members[name]) if name in members else None
                if file is None:
                    raise FileNotFoundError(name)
                return file.read()

            return load_batches(read, path, report)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            "data-bad-archive",
            f"{path} is neither a whole zip nor a whole tar.gz. Copy or download it again, or name "
            "the unpacked folder.",
        ) from error


def _reader(folder: Path) -> Callable[[str], bytes]:
    return lambda name: (folder / name).read_bytes()


# Images by class --------------------------------------------------------------------------------


class FolderTree:
    """`train/<class>/<image>` below a folder."""

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self._root = root

    def names(self) -> Iterator[str]:
        for split in ("train", "test"):
            for folder, _, files in os.walk(self._root / split, followlinks=True):
                base = Path(folder).relative_to(self._root).as_posix()
                yield from (f"{base}/{file}" for file in files)

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()


class ZipTree:
    """`train/<class>/<image>` in a zip, at any depth."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.name = str(path)
        self._archive = archive

    def names(self) -> Iterator[str]:
        return (name for name in self._archive.namelist() if not name.startswith("__MACOSX"))

    def read(self, name: str) -> bytes:
        return self._archive.read(name)


def load_tree(tree: FolderTree | ZipTree, report: Report) -> Images:
    """Decodes images that lie in one folder for each class."""
    found: dict[str, dict[str, list[str]]] = {"train": {}, "test": {}}
    for name in tree.names():
        *_, split, label, file = ["", "", *name.split("/")]
        if split in found and file.lower().endswith(_SUFFIXES) and not file.startswith("."):
            found[split].setdefault(label, []).append(name)
    train, test = found["train"], found["test"]
    if not train:
        raise DataError(
            "data-empty", f"{tree.name} holds no training images. It should hold {_LAYOUT}."
        )
    if not test:
        raise DataError(
            "data-no-test",
            f"{tree.name} has no test split. Put images that are not used for training into "
            "test/<class>/.",
        )
    classes = sorted(train)
    if not 2 <= len(classes) <= 256:
        raise DataError(
            "data-classes",
            f"{tree.name} has {len(classes)} class(es) in train/ ({', '.join(classes[:5])}); "
            "2 to 256 are needed. Give every class a folder of its own.",
        )
    strange = sorted(set(test) - set(train))
    if strange:
        raise DataError(
            "data-classes",
            f"{tree.name}: test/{strange[0]} has no counterpart in train/. Give it training "
            "images, or remove it.",
        )
    names = [name for split in (train, test) for c in classes for name in sorted(split.get(c, []))]
    labels = [
        np.repeat(np.arange(len(classes), dtype=np.uint8), [len(split.get(c, [])) for c in classes])
        for split in (train, test)
    ]
    images = _decode_all(tree, names, report)
    count = len(labels[0])
    return Images(classes, images[:count], labels[0], images[count:], labels[1])


def _decode_all(tree: FolderTree | ZipTree, names: list[str], report: Report) -> Bytes:
    """All images as uint8 (N, C, H, W); their size and colour are those of the first."""
    with _opened(tree, names[0]) as first:
        mode = "L" if first.mode in ("1", "L", "LA", "I", "I;16", "F") else "RGB"
        size = first.size
    if max(size) > _MAX_SIDE:
        raise DataError(
            "data-image-size",
            f"{tree.name}: {names[0]} is {size[0]}x{size[1]}; {_MAX_SIDE}x{_MAX_SIDE} is the most. "
            "Scale the images down first.",
        )
    images = np.empty((len(names), size[1], size[0], len(mode)), np.uint8)

    def decode(start: int) -> None:
        for i in range(start, min(start + 500, len(names))):
            with _opened(tree, names[i]) as image:
                if image.size != size:
                    raise DataError(
                        "data-image-size",
                        f"{tree.name}: {names[i]} is {image.width}x{image.height}, but {names[0]} "
                        f"is {size[0]}x{size[1]}. Bring all images to one size.",
                    )
                converted = image if image.mode == mode else image.convert(mode)
                images[i] = np.asarray(converted).reshape(images.shape[1:])

    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    try:
        for done, _ in enumerate(pool.map(decode, range(0, len(names), 500)), start=1):
            report("decode", min(done * 500, len(names)), len(names))
    finally:
        pool.shutdown(cancel_futures=True)
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


@contextmanager
def _opened(tree: FolderTree | ZipTree, name: str) -> Iterator[Image.Image]:
    """The decoded image; names it when it cannot be decoded."""
    data = tree.read(name)
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            yield image
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            "data-image-broken",
            f"{tree.name}: {name} is truncated or no image ({error}). Replace or remove it.",
        ) from error


# CIFAR-10's batches (https://www.cs.toronto.edu/~kriz/cifar.html) --------------------------------


class _ArraysOnly(pickle.Unpickler):
    """Reads pickled NumPy arrays and plain values: a pickle that asks for anything else may be an
    attack."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _RECONSTRUCT
        if (module, name) == ("_codecs", "encode"):
            return codecs.encode
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


# The function that NumPy's own pickles call to make an array, wherever this NumPy keeps it.
_RECONSTRUCT = np.empty(0).__reduce__()[0]


def load_batches(read: Callable[[str], bytes], where: Path, report: Report) -> Images:
    """data_batch_1 to 5, test_batch and batches.meta: pickled dicts of `data` (N, 3072) and
    `labels`."""

    def unpickle(name: str) -> dict[bytes, Any]:
        try:
            content = _ArraysOnly(io.BytesIO(read(name)), encoding="bytes").load()
        except FileNotFoundError as error:
            raise DataError(
                "data-empty",
                f"{where} lacks {name}. Unpack the archive again: it should hold data_batch_1 to "
                "5, test_batch and batches.meta.",
            ) from error
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError) as error:
            raise DataError(
                "data-bad-archive",
                f"{where}: {name} is no CIFAR-10 batch ({error}). Copy or download it again.",
            ) from error
        if not isinstance(content, dict):
            raise DataError(
                "data-bad-archive", f"{where}: {name} is no CIFAR-10 batch. Copy it again."
            )
        return {k.encode() if isinstance(k, str) else k: v for k, v in content.items()}

    def batch(name: str) -> tuple[Bytes, Bytes]:
        content = unpickle(name)
        try:
            images = np.asarray(content[b"data"], np.uint8).reshape(-1, 3, 32, 32)
            labels = np.asarray(content[b"labels"], np.uint8)
        except (KeyError, ValueError, OverflowError) as error:
            raise DataError(
                "data-bad-archive",
                f"{where}: {name} is no CIFAR-10 batch ({error}). Copy it again.",
            ) from error
        if len(images) != len(labels):
            raise DataError(
                "data-bad-archive",
                f"{where}: {name} has {len(images)} images but {len(labels)} labels.",
            )
        return images, labels

    names = [
        name.decode() if isinstance(name, bytes) else str(name)
        for name in unpickle("batches.meta").get(b"label_names", [])
    ]
    parts = []
    for i in range(1, 6):
        parts.append(batch(f"data_batch_{i}"))
        report("read", i, 6)
    test_images, test_labels = batch("test_batch")
    report("read", 6, 6)
    train_images = np.concatenate([images for images, _ in parts])
    train_labels = np.concatenate([labels for _, labels in parts])
    return Images(names, train_images, train_labels, test_images, test_labels)


# Fashion-MNIST's IDX files (https://github.com/zalandoresearch/fashion-mnist) ---------------------


def load_idx(folder: Path) -> Images:
    """The four files of a folder: images (N, 28, 28) and labels (N,)."""

    def images(name: str) -> Bytes:
        pixels = _read_idx(folder / name, 3)
        return pixels.reshape(len(pixels), 1, *pixels.shape[1:])

    return Images(
        list(FASHION_CLASSES),
        images("train-images-idx3-ubyte.gz"),
        _read_idx(folder / "train-labels-idx1-ubyte.gz", 1),
        images("t10k-images-idx3-ubyte.gz"),
        _read_idx(folder / "t10k-labels-idx1-ubyte.gz", 1),
    )


def _read_idx(path: Path, rank: int) -> Bytes:
    """A gzipped IDX file of unsigned bytes (http://yann.lecun.com/exdb/mnist/)."""
    if not path.is_file():
        raise DataError(
            "data-empty", f"{path} is missing. All four of {', '.join(FASHION_MD5)} are needed."
        )
    try:
        data = gzip.decompress(path.read_bytes())
        magic, *sizes = struct.unpack_from(f">{rank + 1}I", data)
        if magic != 0x0800 | rank:
            raise ValueError(f"its magic number is {magic:#x}")
        return np.frombuffer(data, np.uint8, offset=4 * (rank + 1)).reshape(sizes)
    except (gzip.BadGzipFile, zlib.error, EOFError, struct.error, ValueError) as error:
        raise DataError(
            "data-bad-archive",
            f"{path} is no whole gzipped IDX file ({error}). Copy or download it again.",
        ) from error


# Digits (carried by scikit-learn) ----------------------------------------------------------------


def load_digits() -> Images:
    """1,797 handwritten digits of 8x8, each pixel fourfold so that nets written for 32x32 fit;
    every fifth of a class is a test image."""
    from sklearn.datasets import load_digits as bundled

    pixels, target = bundled(return_X_y=True)
    small = np.rint(pixels.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    images = small.repeat(4, axis=2).repeat(4, axis=3)
    labels = target.astype(np.uint8)
    test = np.zeros(len(labels), bool)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[::5]] = True
    classes = [str(digit) for digit in range(10)]
    return Images(classes, images[~test], labels[~test], images[test], labels[test])

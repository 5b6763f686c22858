"""Data sets: what is written, from every source, and what is said when a source is bad."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import os
import pickle
import stat
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from netwright.data import cache, sources
from netwright.data.download import download
from netwright.data.errors import DataError
from netwright.data.sources import Bytes

PACKAGE = Path(__file__).parents[1]


def silent(what: str, done: int, total: int) -> None:
    assert 0 < done <= total, what


def prepare(
    target: Path,
    source: Path | None = None,
    dataset: str = "cifar10",
    validation: int = 0,
    seed: int = 0,
) -> cache.Meta:
    return cache.prepare(dataset, source, target, validation, seed, False, silent)


def refused(source: Path | None, dataset: str = "cifar10", **changes: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        prepare(changes.pop("target", Path(str(source) + ".cache")), source, dataset, **changes)
    return caught.value


def picture(
    colour: tuple[int, int, int], size: tuple[int, int] = (8, 6), kind: str = "PNG"
) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return file.getvalue()


def tree(
    root: Path, train: int = 6, test: int = 2, classes: tuple[str, ...] = ("cat", "ant", "bee")
) -> Path:
    """Images whose colour tells class (red), number (green) and split (blue)."""
    for split, count in (("train", train), ("test", test)):
        for label, name in enumerate(classes):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                colour = (60 * label, 10 * i, 200 if split == "train" else 90)
                (folder / f"{i}.png").write_bytes(picture(colour))
    return root


def zipped(folder: Path, prefix: str = "") -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png"), reverse=True):
            archive.write(file, prefix + str(file.relative_to(folder)))
        archive.writestr("__MACOSX/train/cat/._0.png", b"no image")
    return path


def read(target: Path) -> dict[str, Bytes]:
    arrays = {path.stem: np.load(path) for path in (target / "public").glob("*.npy")}
    for path in (target / "private").glob("*.bin"):
        arrays[path.stem] = np.fromfile(path, np.uint8)
    return arrays


# What is written -------------------------------------------------------------------------------


def test_a_folder_of_images(tmp_path: Path) -> None:
    target = tmp_path / "cache"
    meta = prepare(target, tree(tmp_path / "images"), validation=6)
    assert meta["classes"] == ["ant", "bee", "cat"]
    assert (meta["channels"], meta["height"], meta["width"]) == (3, 6, 8)
    assert (meta["train"], meta["validation"], meta["test"]) == (12, 6, 6)
    assert json.loads((target / "meta.json").read_text()) == meta
    assert json.loads((target / "public" / "meta.json").read_text()) == meta
    data = read(target)
    # tree() made cat red 0, ant 60 and bee 120: labels follow the sorted names.
    red = {0: 60, 1: 120, 2: 0}
    for split in ("train", "validation", "test"):
        images, labels = data[f"{split}_images"], data[f"{split}_labels"]
        assert images.dtype == labels.dtype == np.uint8
        assert [int(image[0, 0, 0]) for image in images] == [red[int(label)] for label in labels]
        assert set(images[:, 2].ravel()) == ({90} if split == "test" else {200})
    assert np.bincount(data["validation_labels"]).tolist() == [2, 2, 2]
    together = np.concatenate([data["train_images"], data["validation_images"]])
    assert len(np.unique(together.reshape(18, -1), axis=0)) == 18


def test_held_out_labels_are_private(tmp_path: Path) -> None:
    target = tmp_path / "cache"
    prepare(target, tree(tmp_path / "images"), validation=3)
    public = {path.name for path in (target / "public").iterdir()}
    assert not any("labels" in name for name in public - {"train_labels.npy"})
    assert stat.S_IMODE((target / "private").stat().st_mode) == 0o700


def test_mean_and_std_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    target = tmp_path / "cache"
    meta = prepare(target, tree(tmp_path / "images"), validation=6)
    pixels = read(target)["train_images"] / 255
    np.testing.assert_allclose(meta["mean"], pixels.mean((0, 2, 3)), atol=1e-6)
    # The blue channel has no contrast, and nothing may be divided by zero.
    expected = pixels.std((0, 2, 3))
    assert expected[2] == pytest.approx(0)
    np.testing.assert_allclose(meta["std"], [expected[0], expected[1], 1], atol=1e-6)


def test_no_validation_split(tmp_path: Path) -> None:
    target = tmp_path / "cache"
    assert prepare(target, tree(tmp_path / "images"))["validation"] == 0
    data = read(target)
    assert "validation_images" not in data
    assert len(data["train_images"]) == 18
    assert len(data["validation_labels"]) == 0


def test_the_seed_decides_and_nothing_else(tmp_path: Path) -> None:
    images = tree(tmp_path / "images")
    prints = [
        prepare(tmp_path / str(i), source, validation=6, seed=seed)["fingerprint"]
        for i, (source, seed) in enumerate(
            [(images, 1), (zipped(images), 1), (zipped(images, "deep/er/"), 1), (images, 2)]
        )
    ]
    assert prints[0] == prints[1] == prints[2] != prints[3]


def test_every_split_is_shuffled(tmp_path: Path) -> None:
    """An order by class would give the answers away."""
    target = tmp_path / "cache"
    prepare(target, tree(tmp_path / "images", train=20, test=20), validation=30)
    for name, labels in read(target).items():
        if name.endswith("labels"):
            assert sorted(labels) != labels.tolist(), name


def test_uneven_validation_is_in_proportion(tmp_path: Path) -> None:
    root = tree(tmp_path / "images", train=4)
    for i in range(4, 12):
        (root / "train" / "ant" / f"{i}.png").write_bytes(picture((60, 10 * i, 200)))
    prepare(tmp_path / "cache", root, validation=7)
    counts = np.bincount(read(tmp_path / "cache")["validation_labels"])
    assert counts.sum() == 7
    assert counts[0] in (4, 5)
    assert set(counts[1:]) <= {1, 2}


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in "ab":
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            Image.new("L", (5, 5), ord(name)).save(folder / "0.jpg", quality=100)
    meta = prepare(tmp_path / "cache", tmp_path / "images")
    assert meta["channels"] == 1
    assert read(tmp_path / "cache")["train_images"].shape == (2, 1, 5, 5)


def test_a_finished_cache_is_left_as_it_is(tmp_path: Path) -> None:
    images = tree(tmp_path / "images")
    first = prepare(tmp_path / "cache", images)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    assert prepare(tmp_path / "cache", tmp_path / "gone") == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")} == times


def test_what_a_killed_run_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "cache" / "public").mkdir(parents=True)
    assert prepare(tmp_path / "cache", tree(tmp_path / "images"))["train"] == 18


# Own sources -----------------------------------------------------------------------------------


def batches(where: Path) -> dict[str, Bytes]:
    """CIFAR-10's folder with 4 images in a batch, as Python 3 pickles it; returns the pixels."""
    where.mkdir()
    generator = np.random.default_rng(0)
    pixels = {}
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        pixels[name] = generator.integers(0, 256, (4, 3072), np.uint8)
        content = {b"data": pixels[name], b"labels": [0, 1, 2, 1], b"filenames": [b"x"] * 4}
        (where / name).write_bytes(pickle.dumps(content, 2))
    names = {"label_names": ["airplane", "bird", "cat"], "num_cases_per_batch": 4}
    (where / "batches.meta").write_bytes(pickle.dumps(names, 2))
    return pixels


def test_cifar_batches(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    pixels = batches(folder)
    meta = prepare(tmp_path / "a", folder)
    assert meta["classes"] == ["airplane", "bird", "cat"]
    assert (meta["train"], meta["test"]) == (20, 4)
    images = {image.tobytes() for image in read(tmp_path / "a")["test_images"]}
    assert images == {row.tobytes() for row in pixels["test_batch"]}
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-10-batches-py")
    for i, source in enumerate([tmp_path / "cifar.tar.gz", tmp_path]):
        assert prepare(tmp_path / f"b{i}", source)["fingerprint"] == meta["fingerprint"]


def test_a_hostile_pickle_is_not_run(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    batches(folder)
    trap = tmp_path / "trap"

    class Trap:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(trap),)

    (folder / "data_batch_3").write_bytes(pickle.dumps(Trap()))
    error = refused(folder)
    assert error.code == "data-bad-archive"
    assert "data_batch_3" in error.message
    assert not trap.exists()


def idx(array: Bytes) -> bytes:
    header = struct.pack(f">{array.ndim + 1}I", 0x0800 | array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


def fashion(where: Path) -> Path:
    where.mkdir()
    for split, count in (("train", 20), ("t10k", 10)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pixels = np.broadcast_to(labels[:, None, None] * 20, (count, 28, 28)).astype(np.uint8)
        (where / f"{split}-images-idx3-ubyte.gz").write_bytes(idx(pixels))
        (where / f"{split}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return where


def test_fashion_mnist(tmp_path: Path) -> None:
    meta = prepare(tmp_path / "cache", fashion(tmp_path / "idx"), "fashion-mnist", validation=10)
    assert (meta["channels"], meta["height"], meta["train"], meta["test"]) == (1, 28, 10, 10)
    data = read(tmp_path / "cache")
    assert np.array_equal(data["test_images"][:, 0, 0, 0], data["test_labels"] * 20)


def test_fashion_mnist_of_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "FASHION_DEBIAN", fashion(tmp_path / "idx"))
    meta = prepare(tmp_path / "cache", None, "fashion-mnist")
    assert meta["source"] == str(tmp_path / "idx")


def test_digits(tmp_path: Path) -> None:
    meta = prepare(tmp_path / "cache", None, "digits", validation=200)
    assert (meta["channels"], meta["height"], meta["width"]) == (1, 32, 32)
    assert meta["train"] + meta["validation"] + meta["test"] == 1797
    image = read(tmp_path / "cache")["train_images"][0, 0]
    assert np.array_equal(image, image[::4, ::4].repeat(4, 0).repeat(4, 1))
    assert image.max() > 200


# Downloads -------------------------------------------------------------------------------------

CONTENT = bytes(range(256)) * 4096
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves CONTENT in ranges; breaks off after half of what it should send, `breaks` times."""

    breaks = 0
    ranges: tuple[str | None, ...] = ()

    def do_GET(self) -> None:
        if self.path != "/file":
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        Server.ranges += (wanted,)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        rest = CONTENT[start:]
        if wanted and not rest:
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if Server.breaks:
            Server.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Server.breaks, Server.ranges = 0, ()
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def test_download_goes_on_where_it_broke(server: str, tmp_path: Path) -> None:
    Server.breaks = 1
    download(f"{server}/file", tmp_path / "a" / "file", MD5, silent)
    assert (tmp_path / "a" / "file").read_bytes() == CONTENT
    assert Server.ranges == (None, f"bytes={len(CONTENT) // 2}-")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


@pytest.mark.parametrize("have", [1000, len(CONTENT)])
def test_download_goes_on_after_an_earlier_run(server: str, tmp_path: Path, have: int) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT[:have])
    download(f"{server}/file", tmp_path / "file", MD5, silent)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert Server.ranges == (f"bytes={have}-",)


def test_download_that_is_wrong_is_removed(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"instead of 0+; it was deleted") as caught:
        download(f"{server}/file", tmp_path / "file", "0" * 32, silent)
    assert caught.value.code == "data-checksum"
    assert list(tmp_path.iterdir()) == []


def test_download_without_a_network(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name it as the source") as caught:
        download("http://127.0.0.1:1/file", tmp_path / "file", MD5, silent)
    assert caught.value.code == "data-offline"
    assert "http://127.0.0.1:1/file" in caught.value.message


def test_download_that_is_not_there(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the server answered 404"):
        download(f"{server}/other", tmp_path / "file", MD5, silent)


# Bad input -------------------------------------------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    error = refused(tmp_path / "nowhere")
    assert error.code == "data-no-source"
    assert str(tmp_path / "nowhere") in error.message


def test_no_image(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    assert refused(tmp_path / "images").code == "data-empty"
    (tmp_path / "images" / "train" / "cat").mkdir(parents=True)
    assert refused(tmp_path / "images").code == "data-empty"


def test_one_class(tmp_path: Path) -> None:
    error = refused(tree(tmp_path / "images", classes=("cat",)))
    assert error.code == "data-classes"
    assert "(cat)" in error.message


def test_no_test_split(tmp_path: Path) -> None:
    error = refused(tree(tmp_path / "images", test=0))
    assert error.code == "data-no-test"
    assert "test/<class>/" in error.message


def test_a_class_only_in_the_test_split(tmp_path: Path) -> None:
    root = tree(tmp_path / "images")
    (root / "test" / "cat").rename(root / "test" / "dog")
    assert "test/dog" in refused(root).message


def test_a_truncated_image(tmp_path: Path) -> None:
    root = tree(tmp_path / "images")
    file = root / "train" / "bee" / "4.png"
    file.write_bytes(picture((1, 2, 3), kind="JPEG")[:-300])
    error = refused(root)
    assert error.code == "data-image-broken"
    assert "train/bee/4.png" in error.message
    file.write_bytes(b"")
    assert "train/bee/4.png" in refused(root).message


def test_images_of_different_sizes(tmp_path: Path) -> None:
    root = tree(tmp_path / "images")
    (root / "test" / "ant" / "1.png").write_bytes(picture((1, 2, 3), (9, 6)))
    error = refused(root)
    assert error.code == "data-image-size"
    assert "test/ant/1.png is 9x6" in error.message


def test_images_that_are_too_large(tmp_path: Path) -> None:
    root = tree(tmp_path / "images")
    (root / "train" / "ant" / "0.png").write_bytes(picture((1, 2, 3), (2000, 10)))
    assert "2000x10; 256x256 is the most" in refused(root).message


@pytest.mark.parametrize("name", ["images.zip", "cifar.tar.gz"])
def test_no_archive(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html>not found</html>")
    error = refused(tmp_path / name)
    assert error.code == "data-bad-archive"
    assert name in error.message


def test_damaged_archives(tmp_path: Path) -> None:
    path = zipped(tree(tmp_path / "images"))
    content = bytearray(path.read_bytes())
    at = content.index(b"PNG", 2000)
    content[at + 20 : at + 40] = bytes(20)
    path.write_bytes(content)
    assert refused(path).code == "data-bad-archive"
    folder = tmp_path / "cifar-10-batches-py"
    batches(folder)
    with tarfile.open(tmp_path / "cifar.tar.gz", "w:gz") as archive:
        archive.add(folder)
    whole = (tmp_path / "cifar.tar.gz").read_bytes()
    (tmp_path / "cifar.tar.gz").write_bytes(whole[: len(whole) // 2])
    assert refused(tmp_path / "cifar.tar.gz").code == "data-bad-archive"


def test_damaged_idx(tmp_path: Path) -> None:
    folder = fashion(tmp_path / "idx")
    file = folder / "t10k-images-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    assert str(file) in refused(folder, "fashion-mnist").message
    file.unlink()
    assert refused(folder, "fashion-mnist").code == "data-empty"


def test_missing_batch(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    batches(folder)
    (folder / "data_batch_2").unlink()
    error = refused(folder)
    assert error.code == "data-empty"
    assert "data_batch_2" in error.message


def test_more_validation_images_than_there_are(tmp_path: Path) -> None:
    error = refused(tree(tmp_path / "images"), validation=18)
    assert error.code == "data-validation"
    assert "18 validation images" in error.message


def test_downloads_off(tmp_path: Path) -> None:
    error = refused(None, target=tmp_path / "cache")
    assert error.code == "data-download-off"
    assert "cifar-10-python.tar.gz" in error.message


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "data-disk-full"),
        (errno.EDQUOT, "data-disk-full"),
        (errno.EROFS, "data-no-access"),
        (errno.EIO, "data-io"),
    ],
)
def test_a_write_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    images = tree(tmp_path / "images")
    monkeypatch.setattr(os, "fsync", fail)
    error = refused(images, target=tmp_path / "caches" / "cache")
    assert error.code == code
    assert str(tmp_path / "caches" / "cache") in error.message
    assert list((tmp_path / "caches").iterdir()) == []


def test_a_cache_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = refused(None, "digits", target=tmp_path / "file" / "cache")
    assert error.code == "data-io"
    assert str(tmp_path / "file") in error.message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_cache(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    error = refused(None, "digits", target=tmp_path / "cache")
    tmp_path.chmod(0o700)
    assert error.code == "data-no-access"


# The command -----------------------------------------------------------------------------------


def command(*arguments: str) -> tuple[int, list[Any]]:
    """Exit code and the messages of `python -m netwright.data prepare`."""
    common = ["--validation", "6", "--seed", "3", "--no-download"]
    done = subprocess.run(
        [sys.executable, "-m", "netwright.data", "prepare", *arguments, *common],
        cwd=PACKAGE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_the_command_reports_progress_and_the_result(tmp_path: Path) -> None:
    source, target = tree(tmp_path / "images"), tmp_path / "cache"
    arguments = ["--dataset", "cifar10", "--source", str(source), "--cache", str(target)]
    code, messages = command(*arguments)
    assert code == 0
    assert messages[0] == {"type": "progress", "what": "decode", "done": 24, "total": 24}
    assert messages[-1]["type"] == "ready"
    assert messages[-1]["path"] == str(target)
    assert messages[-1]["meta"]["validation"] == 6
    # The second time there is nothing to do.
    assert command(*arguments) == (0, [messages[-1]])


def test_the_command_reports_an_error(tmp_path: Path) -> None:
    arguments = ["--source", str(tmp_path / "x"), "--cache", str(tmp_path / "c")]
    code, messages = command("--dataset", "cifar10", *arguments)
    assert code == 1
    assert [m["type"] for m in messages] == ["error"]
    assert messages[0]["code"] == "data-no-source"

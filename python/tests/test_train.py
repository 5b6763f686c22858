"""The batches a candidate trains on."""

from __future__ import annotations

import pytest
import torch

from netwright.candidate import ContractError
from netwright.prepared import Prepared
from netwright.train import Batches, Normaliser, epoch_seed

IMAGES = 100


@pytest.fixture
def data() -> Prepared:
    """Image i has the value i in its left half and 0 in its right, and the label i."""
    images = torch.zeros(IMAGES, 3, 4, 4, dtype=torch.uint8)
    images[..., :2] = torch.arange(IMAGES, dtype=torch.uint8).view(-1, 1, 1, 1)
    return Prepared(
        classes=IMAGES,
        mean=(0.5, 0.25, 0.0),
        std=(0.25, 0.5, 1.0),
        train_images=images,
        train_labels=torch.arange(IMAGES),
        validation_images=None,
        test_images=images,
    )


def test_normalised_as_torchvision_does(data: Prepared) -> None:
    x = Normaliser(data)(data.train_images)
    mean = torch.tensor(data.mean).view(1, 3, 1, 1)
    std = torch.tensor(data.std).view(1, 3, 1, 1)
    torch.testing.assert_close(x, (data.train_images.float() / 255 - mean) / std)
    assert x.dtype == torch.float32


def test_an_epoch_is_every_image_once_with_its_label(data: Prepared) -> None:
    batches = Batches(data, IMAGES, 32, flip=False, seed=1)
    seen = []
    for inputs, labels in batches:
        torch.testing.assert_close(inputs, Normaliser(data)(data.train_images[labels]))
        seen += labels.tolist()
    assert sorted(seen) == list(range(IMAGES))
    assert seen != list(range(IMAGES))
    assert len(batches) == 4


def test_the_order_is_the_seeds(data: Prepared) -> None:
    def order(seed: int) -> list[int]:
        batches = Batches(data, IMAGES, 32, flip=True, seed=seed)
        return [label for _, labels in batches for label in labels.tolist()]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert epoch_seed(1, 1) != epoch_seed(1, 2)


def test_flips_about_half(data: Prepared) -> None:
    flipped = 0
    for inputs, labels in Batches(data, IMAGES, 32, flip=True, seed=1):
        plain = Normaliser(data)(data.train_images[labels])
        for x, y in zip(inputs, plain, strict=True):
            if not torch.equal(x, y):
                torch.testing.assert_close(x, y.flip(-1))
                flipped += 1
    assert 30 < flipped < 70


def test_a_subset_is_the_first_images(data: Prepared) -> None:
    labels = torch.cat([labels for _, labels in Batches(data, 40, 32, flip=False, seed=1)])
    assert sorted(labels.tolist()) == list(range(40))


def test_a_single_image_is_no_batch(data: Prepared) -> None:
    assert [len(y) for _, y in Batches(data, 65, 32, flip=False, seed=1)] == [32, 32]
    assert [len(y) for _, y in Batches(data, 66, 32, flip=False, seed=1)] == [32, 32, 2]


def test_one_pass_and_a_look_but_no_second_pass(data: Prepared) -> None:
    batches = Batches(data, IMAGES, 32, flip=False, seed=1)
    next(iter(batches))
    assert sum(1 for _ in batches) == 4
    with pytest.raises(ContractError, match="once"):
        next(iter(batches))


def test_tells_how_far_it_is(data: Prepared) -> None:
    told: list[tuple[int, int]] = []
    for _ in Batches(data, IMAGES, 32, False, 1, lambda batch, of: told.append((batch, of))):
        pass
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]

"""The nets that ship with the project: all that a candidate must do, in exemplary form."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from netwright.trace import trace_graph

SEEDS = sorted((Path(__file__).parents[1] / "seeds").glob("*.py"))
PRM = {"lr": 0.05, "momentum": 0.9, "dropout": 0.0, "batch": 32}


def load(path: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(path.read_text(), str(path), "exec"), namespace)
    return namespace


def build(path: Path, in_shape: tuple[int, int, int, int], classes: int) -> nn.Module:
    torch.manual_seed(0)
    net: nn.Module = load(path)["Net"](in_shape, (classes,), PRM, torch.device("cpu"))
    return net


def test_there_are_five_of_different_structure() -> None:
    graphs = [trace_graph(build(path, (1, 3, 32, 32), 10), (1, 3, 32, 32)) for path in SEEDS]
    assert len(graphs) == 5
    assert all(a != b for i, a in enumerate(graphs) for b in graphs[:i])


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
@pytest.mark.parametrize("shape", [(8, 1, 28, 28), (8, 3, 32, 32), (8, 3, 64, 64), (8, 1, 45, 33)])
def test_adapts_to_the_task(path: Path, shape: tuple[int, int, int, int]) -> None:
    net = build(path, shape, 7)
    assert net(torch.randn(shape)).shape == (8, 7)
    assert sum(p.numel() for p in net.parameters()) < 500_000


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_declares_what_it_uses(path: Path) -> None:
    declared = load(path)["supported_hyperparameters"]()
    used = {
        node.slice.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Name)
        and node.value.id == "prm"
        and isinstance(node.slice, ast.Constant)
    }
    assert used == declared == {"lr", "momentum", "dropout"}


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.stem)
def test_learns(path: Path) -> None:
    """Where the bright half is: seen in a few epochs over a few images."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(64) % 2
    images = torch.randn(64, 1, 28, 28, generator=generator)
    images[labels == 1, :, :14] += 1.5
    net: Any = build(path, (32, 1, 28, 28), 2)
    net.train_setup(PRM)
    for _ in range(5):
        net.learn([(images[:32], labels[:32]), (images[32:], labels[32:])])
    predictions = net(images).argmax(1)
    assert (predictions == labels).float().mean() > 0.9


def test_all_train_alike_and_last() -> None:
    """The designer imitates these: the same words, at the same place, everywhere."""
    endings = {path.read_text().partition("    def train_setup(self, prm):")[2] for path in SEEDS}
    assert len(endings) == 1
    assert "def learn(self, train_data):" in endings.pop()

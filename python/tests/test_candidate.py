"""Loading a candidate, and saying where and how it broke."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from netwright.candidate import (
    FILENAME,
    ContractError,
    Failure,
    Hyperparameters,
    Refused,
    Stage,
    Stages,
    TimeIsUp,
    UndeclaredHyperparameter,
    build,
    count_parameters,
    failure_of,
    load,
)

NET = """
import torch
from torch import nn

def supported_hyperparameters():
    return {"lr", "heads"}

class Net(nn.Module):
    def __init__(self, in_shape, out_shape, prm, device):
        super().__init__()
        self.layer = nn.Linear(4, out_shape[0])

    def forward(self, x):
        return self.layer(x)

    def train_setup(self, prm):
        pass

    def learn(self, train_data):
        pass
"""
SHAPE = (16, 3, 8, 8)
PRM = {"lr": 0.1, "momentum": 0.9, "dropout": 0.2, "batch": 16}


def stages_of(code: str, heard: list[Stage] | None = None) -> Stages:
    return Stages(code, (heard if heard is not None else []).append)


def build_net(code: str, limit: int = 1000) -> tuple[nn.Module, int]:
    stages = stages_of(code)
    candidate = load(code, stages)
    return build(candidate, SHAPE, 10, PRM, torch.device("cpu"), limit, 1, stages)


def raised(code: str, stage: Stage = "init") -> Failure:
    """What running `code` as a candidate's amounts to."""
    with pytest.raises(Refused) as caught, stages_of(code)(stage):
        exec(compile(code, FILENAME, "exec"), {})
    return caught.value.failure


def test_stages_are_announced_before_they_begin() -> None:
    heard: list[Stage] = []
    load(NET, stages_of(NET, heard))
    assert heard == ["load"]


def test_the_deepest_line_of_its_own_is_named() -> None:
    code = "import json\ndef parse():\n    return json.loads('{')\nparse()\n"
    failure = raised(code)
    assert (failure.outcome, failure.line, failure.source) == (
        "init",
        3,
        "return json.loads('{')",
    )
    assert failure.message.startswith("JSONDecodeError: ")


def test_messages_are_one_short_line() -> None:
    failure = raised("raise ValueError('a\\n' * 1000)")
    assert failure.message.startswith("ValueError: a a a")
    assert len(failure.message) == 300
    assert raised("raise ValueError('x')\n" + "#" * 500).source == "raise ValueError('x')"


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (MemoryError(), "out-of-memory"),
        (torch.cuda.OutOfMemoryError("CUDA out of memory."), "out-of-memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out-of-memory"),
        (RuntimeError("std::bad_alloc"), "out-of-memory"),
        (ValueError("out of memory"), "train"),
        (TimeIsUp("not finished after 3 s"), "timeout"),
        (ContractError("no"), "contract"),
        (UndeclaredHyperparameter("heads"), "contract"),
        (SyntaxError("in what it evaluates itself"), "train"),
        (KeyError("lr"), "train"),
    ],
)
def test_outcome_of_an_error_while_training(error: BaseException, outcome: str) -> None:
    assert failure_of(error, "train", "").outcome == outcome


def test_prm_has_what_is_declared_and_names_what_is_not() -> None:
    candidate = load(NET, stages_of(NET))
    prm = candidate.prm(PRM)
    assert prm == {**PRM, "heads": 0.5}
    with pytest.raises(UndeclaredHyperparameter, match=r"'width'.*is not declared"):
        prm["width"]
    assert prm.get("width") is None
    assert "width" not in prm
    assert isinstance(prm, Hyperparameters)


def test_build_counts_parameters_and_is_the_same_for_a_seed() -> None:
    net, parameters = build_net(NET)
    again, _ = build_net(NET)
    assert parameters == 50
    for first, second in zip(net.parameters(), again.parameters(), strict=True):
        assert torch.equal(first, second)


def test_too_large_a_net_is_refused_before_it_has_memory() -> None:
    code = NET.replace("nn.Linear(4, out_shape[0])", "nn.Linear(10**6, 10**6)")
    with pytest.raises(Refused) as caught:
        build_net(code)
    assert caught.value.failure.outcome == "too-large"
    assert caught.value.failure.message == (
        "Net has 1,000,001,000,000 parameters; the limit is 1,000"
    )
    assert caught.value.parameters == 1_000_001_000_000


def test_lazy_parameters_count_once_they_exist() -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 2))
    assert count_parameters(net) == 8
    net(torch.zeros(1, 5))
    assert count_parameters(net) == 8 + 18

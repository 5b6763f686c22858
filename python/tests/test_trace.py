"""What the trace records, case by case (rewritings of whole nets: test_trace_rewritings.py)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from netwright.graph import OperatorGraph, dims_before_reshape
from netwright.trace import GraphTooLarge, trace_graph


class Function(nn.Module):
    """A net that is one function of its input and of its layers."""

    def __init__(self, function: Callable[..., Any], *layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Any:
        return self.function(x, *self.layers)


def trace(function: Callable[..., Any], *layers: nn.Module, channels: int = 4) -> OperatorGraph:
    return trace_graph(Function(function, *layers), (1, channels, 8, 8))


def swap(x: Tensor) -> Tensor:
    return x.transpose(1, 2)


def ops(graph: OperatorGraph) -> list[str]:
    return [node["op"] for node in graph["nodes"]]


def test_a_small_net_in_full() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(5), nn.ReLU()
    )
    graph = trace_graph(net, (64, 3, 8, 8))
    assert json.loads(json.dumps(graph)) == {
        "nodes": [
            {"op": "input", "attributes": "", "shape": [2, 3, 8, 8], "inputs": []},
            {"op": "parameter", "attributes": "", "shape": [5, 3, 3, 3], "inputs": []},
            {
                "op": "convolution",
                "attributes": "stride=2,2;padding=1,1;dilation=1,1;groups=1",
                "shape": [2, 5, 4, 4],
                "inputs": [0, 1],
            },
            {"op": "parameter", "attributes": "", "shape": [5], "inputs": []},
            {"op": "parameter", "attributes": "", "shape": [5], "inputs": []},
            {"op": "batch_norm", "attributes": "", "shape": [2, 5, 4, 4], "inputs": [2, 3, 4]},
            {"op": "relu", "attributes": "", "shape": [2, 5, 4, 4], "inputs": [5]},
        ],
        "output": 6,
    }


def test_a_shared_parameter_is_one_node() -> None:
    def twice(x: Tensor, a: nn.Module, b: nn.Module) -> Any:
        return b(a(x))

    shared = nn.Conv2d(4, 4, 1, bias=False)
    assert ops(trace(twice, shared, shared)).count("parameter") == 1
    assert ops(trace(twice, shared, nn.Conv2d(4, 4, 1, bias=False))).count("parameter") == 2


def test_buffers_and_made_tensors_are_constants_and_fold() -> None:
    def shifted(x: Tensor) -> Tensor:
        grid = torch.arange(8).float().sin()[None] * torch.ones(8, 1)
        return x + grid

    graph = trace(shifted)
    assert ops(graph) == ["input", "constant", "add"]
    assert graph["nodes"][1]["shape"] == [8, 8]


def test_what_the_output_does_not_need_is_not_there() -> None:
    def wasteful(x: Tensor, unused: nn.Module) -> Tensor:
        unused(x).sum()
        return x.relu()

    assert ops(trace(wasteful, nn.Conv2d(4, 9, 3))) == ["input", "relu"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (lambda x: x.chunk(2, 1)[1], lambda x: x[:, 2:]),
        (lambda x: x.unbind(1)[3], lambda x: x[:, -1]),
        (lambda x: torch.stack([x, -x], 1), lambda x: torch.cat([x[:, None], (-x)[:, None]], 1)),
        (lambda x: torch.cat([torch.cat([x, x]), x]), lambda x: torch.cat([x, x, x])),
        (lambda x: x - x.relu(), lambda x: x + -x.relu()),
        (lambda x: x / x.exp(), lambda x: x * x.exp().reciprocal()),
        (lambda x: x**2, lambda x: x * x),
        (lambda x: x**-0.5, lambda x: 1 / x.sqrt()),
        (lambda x: 1 - x, lambda x: -x),
        (lambda x: F.silu(x), lambda x: x * x.sigmoid()),
        (lambda x: x.transpose(1, 3).permute(0, 3, 1, 2), lambda x: x.transpose(2, 3)),
        (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), lambda x: x.clone()),
        (lambda x: x.flatten(1).relu(), lambda x: x.relu().flatten(1)),
        (lambda x: F.adaptive_max_pool2d(x, 1), lambda x: x.amax((2, 3), keepdim=True)),
        (lambda x: F.adaptive_avg_pool2d(x, 4), lambda x: F.avg_pool2d(x, 2)),
        (lambda x: F.interpolate(x, scale_factor=2.0), lambda x: F.interpolate(x, (16, 16))),
        (lambda x: F.channel_shuffle(x, 2), lambda x: swap(x.unflatten(1, (2, 2))).flatten(1, 2)),
        (lambda x: F.dropout(x, 0.5) + x, lambda x: x + x),
        (lambda x: x.max(1)[0], lambda x: torch.amax(x, 1)),
        (lambda x: x * x.mean(1, keepdim=True).expand_as(x), lambda x: x.mean(1, keepdim=True) * x),
    ],
)  # fmt: skip
def test_two_ways_to_say_it(a: Callable[..., Any], b: Callable[..., Any]) -> None:
    assert sorted(ops(trace(a))) == sorted(ops(trace(b)))
    assert [n["shape"] for n in trace(a)["nodes"]] == [n["shape"] for n in trace(b)["nodes"]]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (lambda x: F.elu(x), lambda x: F.selu(x)),
        (lambda x: F.elu(x), lambda x: F.celu(x, 2.0)),
        (lambda x: F.gelu(x), lambda x: F.gelu(x, approximate="tanh")),
        (lambda x: x.clamp(0, 6), lambda x: x.relu()),
        (lambda x: x.mean(1), lambda x: x.sum(1)),
        (lambda x: x.mean(1), lambda x: x.mean(2)),
        (lambda x: x.softmax(1), lambda x: x.softmax(2)),
        (lambda x: x[:, :2], lambda x: x[:, 2:]),
        (lambda x: x, lambda x: -x),
        (lambda x: F.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 3, 2, 1)),
        (lambda x: x * x.roll(1, 2), lambda x: x * x.roll(2, 2)),
        (lambda x: F.interpolate(x, (9, 9)), lambda x: F.interpolate(x, (9, 9), mode="bilinear")),
    ],
)  # fmt: skip
def test_two_things(a: Callable[..., Any], b: Callable[..., Any]) -> None:
    assert trace(a) != trace(b)


def test_writing_into_a_view_reaches_what_shares_its_memory() -> None:
    def through_view(x: Tensor) -> Tensor:
        y = x.clone()
        y.flatten(1).relu_()
        return y

    def into_part(x: Tensor) -> Tensor:
        y = x.clone()
        first, second = y.chunk(2, 1)
        first.relu_()
        return torch.cat([second, y], 1)

    assert ops(trace(through_view)) == ["input", "relu"]
    graph = trace(into_part)
    assert ops(graph) == ["input", "slice", "slice", "relu", "update", "cat"]
    # The other half was not written.
    assert graph["nodes"][1]["attributes"] == "dim=1;start=2"


def test_attention_layers_are_the_same_in_training_and_evaluation_mode() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    graph = trace(lambda x, m: m(x.flatten(2).transpose(1, 2)), layer, channels=8)
    assert {"softmax", "layer_norm", "matmul"} <= set(ops(graph))
    assert trace(lambda x, m: m.eval()(x.flatten(2).transpose(1, 2)), layer, channels=8) == graph


@pytest.mark.parametrize(
    ("function", "layers"),
    [
        (lambda x, m: m(x.flatten(2))[0], [nn.LSTM(64, 8, 2, bidirectional=True)]),
        (lambda x, m: m(x.flatten(2), x.flatten(2)), [nn.Transformer(64, 2, 1, 1, 8)]),
        (lambda x, m: m(x), [nn.InstanceNorm2d(4, affine=True)]),
        (lambda x, m: m(x), [nn.BatchNorm2d(4, track_running_stats=False)]),
        (lambda x, m: m(x), [nn.Conv2d(4, 4, 4, padding="same")]),
        (lambda x, m: m(x), [nn.ConvTranspose2d(4, 4, 3, 2, 1, 1)]),
        (lambda x, m: m(x), [nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3))]),
        (lambda x, m: m(x.argmax(1)), [nn.Embedding(4, 3)]),
        (lambda x, m: m(x.flatten(2)), [nn.Conv1d(4, 6, 3)]),
        (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), []),
        (lambda x: torch.einsum("bchw,bdhw->bcd", x, x), []),
        (lambda x: F.fold(F.unfold(x, 2, stride=2), (8, 8), 2, stride=2), []),
        (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), [2, 2]), []),
        (lambda x: torch.where(x > 0, 2**x, x % 1), []),
        (lambda x: x[:, [2, 0, 1]].index_select(1, x.new_tensor([1]).long()), []),
        (lambda x: F.adaptive_avg_pool2d(x, 3) + F.adaptive_max_pool2d(x, 3), []),
        (lambda x: F.pad(F.normalize(x, dim=1), (1, 1, 1, 1), "reflect"), []),
        (lambda x: torch.outer(x[0, 0, 0], x[0, 0] @ x[0, 0, 1]), []),
        (lambda x: torch.fft.rfft2(x).abs().topk(2, 1)[0].bfloat16(), []),
        (lambda x: torch.vmap(lambda t: t.relu().sum())(x), []),
    ],
)  # fmt: skip
def test_rarer_operators_are_the_same_on_every_device(
    function: Callable[..., Any], layers: list[nn.Module]
) -> None:
    net = Function(function, *layers)
    graph = trace_graph(net, (1, 4, 8, 8))
    assert len(graph["nodes"]) > 1
    assert trace_graph(net.to("meta"), (1, 4, 8, 8)) == graph


def test_modes_are_restored() -> None:
    norm = nn.BatchNorm2d(4)
    net = nn.Sequential(nn.Dropout(), nn.Sequential(norm).eval())
    trace_graph(net, (1, 4, 8, 8))
    assert [m.training for m in net.modules()] == [True, True, False, False]
    assert norm.running_mean is not None
    assert not norm.running_mean.any()


def test_control_flow_on_values_is_followed() -> None:
    graph = trace(lambda x: x.relu() if x.sum().item() < 1e9 else x.tanh())
    assert ops(graph) == ["input", "relu"]


def test_an_endless_forward_pass_is_refused() -> None:
    def long(x: Tensor) -> Tensor:
        for _ in range(30_000):
            x = x.sin()
        return x

    with pytest.raises(GraphTooLarge, match="20,000 operators"):
        trace(long)


def test_no_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match="must return a tensor, not str"):
        trace(lambda x: "logits")


@pytest.mark.parametrize(
    ("before", "after", "dims", "expected"),
    [
        ((2, 3, 4), (2, 12), [1], (1, 2)),
        ((2, 3, 4), (6, 4), [1], (2,)),
        ((2, 3, 4), (6, 4), [0], (0, 1)),
        ((2, 12), (2, 3, 4), [1], None),
        ((2, 1, 3), (2, 3, 1, 1), [1, 2], (2,)),
        ((2, 6), (3, 4), [0], None),
    ],
)
def test_dims_before_reshape(
    before: tuple[int, ...], after: tuple[int, ...], dims: list[int], expected: tuple[int, ...]
) -> None:
    assert dims_before_reshape(before, after, dims) == expected

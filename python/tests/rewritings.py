"""Rewritings that keep the operator graph, and changes that do not, for every net of families.py.

A `Source` one rewrites the module's syntax tree, a `Built` one the layers of the built net. Both
answer None where the net has nothing for them.

    PYTHONPATH=. python tests/rewritings.py ../tests/fixtures/graphs.json
    npx biome format --write ../tests/fixtures/graphs.json

write the graphs as pairs for the test of the structure measure (tests/novelty/traces.test.ts):
`same` are equal graphs whose nodes come in another order, `different` are changed ones.
"""

from __future__ import annotations

import ast
import copy
import json
import random
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from families import SOURCES, source
from torch import Tensor, nn

from netwright.graph import COMMUTATIVE, GraphNode, OperatorGraph
from netwright.trace import trace_graph

IN_SHAPE = (1, 3, 16, 16)

Source = Callable[[ast.Module], ast.Module | None]
Built = Callable[[nn.Module], bool]


def build(code: str | ast.Module) -> nn.Module:
    torch.manual_seed(0)
    namespace: dict[str, Any] = {}
    exec(compile(code, "<net>", "exec"), namespace)
    net: nn.Module = namespace["Net"]()
    return net


# Rewritings of the source -------------------------------------------------------------------------


class _Rename(ast.NodeTransformer):
    """New names for attributes of self, arguments, local variables and classes."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: dict[str, str] = {}
        kept = {"Net", "__init__", "forward", "self", "super"}
        for node in ast.walk(tree):
            name = ""
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                name = node.attr if node.value.id == "self" else ""
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                name = node.id
            elif isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                name = node.name
            if name and name not in kept:
                self.names.setdefault(name, f"v{len(self.names)}")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = self.names.get(node.name, node.name)
        return self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            node.attr = self.names.get(node.attr, node.attr)
        return self.generic_visit(node)


def rename(tree: ast.Module) -> ast.Module:
    # Arguments keep their names here: a renamed local variable may be one.
    arguments = {a.arg for n in ast.walk(tree) if isinstance(n, ast.arguments) for a in n.args}
    renamer = _Rename(tree)
    renamer.names = {old: new for old, new in renamer.names.items() if old not in arguments}
    renamed = renamer.visit(tree)
    assert isinstance(renamed, ast.Module)
    return renamed


def reorder(tree: ast.Module) -> ast.Module:
    """Methods, then classes and functions, the other way round."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            node.body.reverse()
    definitions = [n for n in tree.body if isinstance(n, (ast.ClassDef, ast.FunctionDef))]
    others = [n for n in tree.body if n not in definitions]
    return ast.Module([*others, *reversed(definitions)], [])


class _Additions(ast.NodeTransformer):
    """Rewrites `a + b` in forward with `make`."""

    def __init__(self, make: Callable[[ast.expr, ast.expr], ast.expr]) -> None:
        self.make = make
        self.inside = False
        self.found = 0

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        self.inside = node.name == "forward"
        self.generic_visit(node)
        self.inside = False
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if not self.inside or not isinstance(node.op, ast.Add):
            return node
        self.found += 1
        return self.make(node.left, node.right)


def _additions(make: Callable[[ast.expr, ast.expr], ast.expr]) -> Source:
    def rewrite(tree: ast.Module) -> ast.Module | None:
        visitor = _Additions(make)
        rewritten = visitor.visit(tree)
        return rewritten if visitor.found else None

    return rewrite


def _call(function: str, *arguments: ast.expr) -> ast.expr:
    return ast.Call(ast.parse(function, mode="eval").body, list(arguments), [])


def dead_code(tree: ast.Module) -> ast.Module:
    """Unused layers in __init__ and unused results in forward."""
    net = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Net")
    for method in net.body:
        assert isinstance(method, ast.FunctionDef)
        if method.name == "__init__":
            method.body += ast.parse("self.unused = nn.Conv2d(3, 5, 3)\nself.spare = [1, 2]").body
        else:
            method.body[:0] = ast.parse("ignored = self.unused(x).relu().sum() * 2").body
    return tree


def _text(*replacements: tuple[str, str]) -> Source:
    def rewrite(tree: ast.Module) -> ast.Module | None:
        before = after = ast.unparse(tree)
        for old, new in replacements:
            after = after.replace(old, new)
        return None if after == before else ast.parse(after)

    return rewrite


# Rewritings of the built net ----------------------------------------------------------------------


class Lambda(nn.Module):
    """A layer as a function, which may use the original one."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], layer: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer, x)


class Chain(nn.Module):
    """A Sequential written as a loop."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def replace(net: nn.Module, kinds: Any, make: Callable[[Any], nn.Module | None]) -> bool:
    """Puts `make(layer)` in place of every layer of `kinds`; True when there was one."""
    found = False
    for parent in list(net.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, kinds) and not isinstance(parent, Lambda):
                new = make(child)
                if new is not None:
                    setattr(parent, name, new)
                    found = True
    return found


def first(net: nn.Module, kinds: Any, make: Callable[[Any], nn.Module | None]) -> bool:
    """Like `replace`, for the first such layer only."""
    done: list[bool] = []

    def once(layer: Any) -> nn.Module | None:
        new = None if done else make(layer)
        if new is not None:
            done.append(True)
        return new

    return replace(net, kinds, once)


def _as(kinds: Any, function: Callable[[Any, Tensor], Tensor]) -> Built:
    return lambda net: replace(net, kinds, lambda layer: Lambda(function, layer))


def _padding_word(layer: nn.Conv2d) -> nn.Module | None:
    same = all(
        p == (k - 1) // 2 and k % 2 for p, k in zip(layer.padding, layer.kernel_size, strict=True)
    )
    if not same or layer.stride != (1, 1):
        return None
    a, b, kernel = layer.in_channels, layer.out_channels, layer.kernel_size[0]
    bias = layer.bias is not None
    return nn.Conv2d(a, b, kernel, padding="same", groups=layer.groups, bias=bias)


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    return torch.matmul(x, layer.weight.t()) + layer.bias


def _functional_norm(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    mean, var = layer.running_mean, layer.running_var
    return F.batch_norm(x, mean, var, layer.weight, layer.bias, layer.training, 0.3, 1e-3)


def _in_place(net: nn.Module) -> bool:
    """In place where it is safe: on what a layer before it has just made."""
    found = False
    for module in net.modules():
        layers = list(module.children()) if isinstance(module, nn.Sequential) else []
        for before, layer in pairwise(layers):
            if isinstance(layer, (nn.ReLU, nn.ReLU6)) and isinstance(
                before, (nn.Conv2d, nn.BatchNorm2d)
            ):
                layer.inplace = found = True
    return found


def _no_ops(layer: nn.Module, x: Tensor) -> Tensor:
    y = layer(x).clone().contiguous().detach()
    return F.dropout(y.to(y.dtype).view(y.shape), 0.2, training=False)


SAME: dict[str, Source | Built] = {
    "renaming": rename,
    "reordering methods and classes": reorder,
    "b + a": _additions(lambda a, b: ast.BinOp(b, ast.Add(), a)),
    "torch.add(a, b)": _additions(lambda a, b: _call("torch.add", a, b)),
    "in-place addition": _additions(lambda a, b: _call("(lambda u, v: u.clone().add_(v))", a, b)),
    "unused layers and dead code": dead_code,
    "x.relu()": _text(("F.relu(", "torch.Tensor.relu("), ("torch.relu(", "nn.ReLU()(")),
    "other ways to flatten": _text(
        (".flatten(1)", ".reshape(x.shape[0], -1)"),
        (".view(x.size(0), -1)", ".squeeze(-1).squeeze(-1)"),
        ("torch.flatten(self.features(x), 1)", "self.features(x).view(x.size(0), -1)"),
        ("w.view(x.size(0), -1, 1, 1)", "w[:, :, None, None].expand_as(x)"),
        (".flatten(2)", ".flatten(2, 3)"),
    ),
    "other ways to pool globally": _text(
        (".mean((2, 3))", ".flatten(2).mean(-1)"),
        (".mean(dim=(2, 3))", ".mean(3, keepdim=True).mean(2, keepdim=True)[:, :, 0, 0]"),
        (".mean(3).mean(2)", ".mean([-1, -2])"),
        (".mean(dim=(-1, -2))", ".mean(2).mean(2)"),
        ("F.avg_pool2d(x, x.shape[-1])", "nn.AdaptiveAvgPool2d((1, 1))(x)"),
        ("F.adaptive_avg_pool2d(x, 1)", "x.mean((2, 3), keepdim=True)"),
    ),
    "other ways to attend": _text(
        (
            "F.scaled_dot_product_attention(q, k, v)",
            "torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, -1) @ v",
        ),
        ("torch.softmax(", "F.softmax("),
    ),
    "indexing for chunk": _text(
        ("a, b = x.chunk(2, 1)", "half = x.shape[1] // 2; a = x[:, :half]; b = x[:, half:]"),
    ),
    "F.relu for nn.ReLU": _as(nn.ReLU, lambda _, x: F.relu(x)),
    "clamp for ReLU": _as(nn.ReLU, lambda _, x: x.clamp(min=0)),
    "in-place activations": _in_place,
    "loops for Sequential": lambda net: replace(
        net, nn.Sequential, lambda layer: Chain(list(layer.children()))
    ),
    "F.linear for nn.Linear": _as(nn.Linear, lambda m, x: F.linear(x, m.weight, m.bias)),
    "matmul for nn.Linear": _as(nn.Linear, _linear),
    "F.conv2d for nn.Conv2d": _as(
        nn.Conv2d,
        lambda m, x: F.conv2d(
            x, m.weight, m.bias, list(m.stride), m.padding, m.dilation[0], m.groups
        ),
    ),
    "padding='same'": lambda net: replace(net, nn.Conv2d, _padding_word),
    "F.batch_norm with other constants": _as(nn.BatchNorm2d, _functional_norm),
    "F.max_pool2d with tuples": _as(
        nn.MaxPool2d,
        lambda m, x: F.max_pool2d(x, (m.kernel_size,) * 2, (m.stride,) * 2, (m.padding,) * 2),
    ),
    "mean for AdaptiveAvgPool2d": _as(
        nn.AdaptiveAvgPool2d, lambda _, x: x.mean((2, 3), keepdim=True)
    ),
    "reshape for Flatten": _as(nn.Flatten, lambda _, x: x.reshape(x.size(0), -1)),
    "layers that do nothing": _as(nn.Conv2d, _no_ops),
    "Identity and Dropout between layers": lambda net: replace(
        net,
        (nn.BatchNorm2d, nn.LayerNorm, nn.Linear),
        lambda layer: nn.Sequential(nn.Identity(), layer, nn.Dropout(0.7), nn.Identity()),
    ),
    "numbers as factors and terms": _as(nn.Conv2d, lambda m, x: (2 * m(x) + 1) / 3 - 0.5),
    "a layer computed twice": _as(nn.Conv2d, lambda m, x: (m(x), m(x))[1]),
    "layers in lists": lambda net: replace(
        net, (nn.Conv2d, nn.Linear), lambda layer: Chain([Chain([layer])])
    ),
}


# Changes ------------------------------------------------------------------------------------------


class Attend(nn.Module):
    """Squeeze and excitation around a layer."""

    def __init__(self, layer: nn.Module, channels: int) -> None:
        super().__init__()
        self.layer = layer
        self.weigh = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        weights = torch.sigmoid(self.weigh(y.mean((2, 3))))
        return y * weights[:, :, None, None]


class Residual(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x)
        return y + x


def _like(layer: nn.Conv2d, **changes: Any) -> nn.Conv2d:
    settings: dict[str, Any] = {
        "kernel_size": layer.kernel_size,
        "stride": layer.stride,
        "padding": layer.padding,
        "groups": layer.groups,
        "bias": layer.bias is not None,
    }
    return nn.Conv2d(layer.in_channels, layer.out_channels, **{**settings, **changes})


def _more_groups(layer: nn.Conv2d) -> nn.Module | None:
    even = layer.groups == 1 and layer.in_channels % 2 == 0 == layer.out_channels % 2
    return _like(layer, groups=2) if even else None


def _keeps_shape(layer: nn.Conv2d) -> bool:
    padded = layer.padding[0] == layer.kernel_size[0] // 2
    return padded and layer.stride == (1, 1) and layer.in_channels == layer.out_channels


def _larger_kernel(layer: nn.Conv2d) -> nn.Module:
    return _like(layer, kernel_size=layer.kernel_size[0] + 2, padding=int(layer.padding[0]) + 1)


def _share(net: nn.Module) -> bool:
    """Gives two layers of one shape the same weight."""
    seen: dict[tuple[int, ...], Any] = {}
    for layer in net.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            shape = tuple(layer.weight.shape)
            if shape in seen:
                layer.weight = seen[shape].weight
                return True
            seen[shape] = layer
    return False


def _swap_norm(net: nn.Module) -> bool:
    """Normalises after the activation."""
    found = False
    for module in net.modules():
        layers = list(module.children()) if isinstance(module, nn.Sequential) else []
        for i, (a, b) in enumerate(pairwise(layers)):
            if isinstance(a, nn.BatchNorm2d) and isinstance(b, (nn.ReLU, nn.ReLU6)):
                module[i], module[i + 1], found = b, a, True  # type: ignore[operator]
    return found


_CONCATENATED = "torch.cat([u, v], 1)[:, : u.shape[1]] if u.shape == v.shape else u + v"

DIFFERENT: dict[str, Source | Built] = {
    "a width": _text(("W = 8", "W = 16")),
    "a concatenation for an addition": _additions(
        lambda a, b: _call(f"(lambda u, v: {_CONCATENATED})", a, b)
    ),
    "a product for an addition": _additions(lambda a, b: ast.BinOp(a, ast.Mult(), b)),
    "no residual": _text(
        ("return x + self.conv2(", "return self.conv2("),
        ("F.relu(y + self.skip(x))", "F.relu(y)"),
        ("F.relu(x + self.expand", "F.relu(self.expand"),
        ("return x + ", "return "),
        ("z + self.short(y)", "z"),
        ("torch.relu(x + self.body(x))", "torch.relu(self.body(x))"),
        ("(self.short(x) + self.long(x)) / 2", "self.long(x)"),
    ),
    "another activation": _text(
        ("nn.ReLU()", "nn.SiLU()"),
        ("F.relu(", "F.silu("),
        ("torch.relu(", "F.silu("),
        ("F.elu(", "F.selu("),
        ("nn.GELU()", "nn.ReLU()"),
        ("F.gelu(", "F.relu("),
    ),
    "another global pooling": _text(
        (".mean((2, 3))", ".amax((2, 3))"),
        (".mean(dim=(2, 3))", ".amax((2, 3))"),
        ("F.adaptive_avg_pool2d(", "F.adaptive_max_pool2d("),
        (".mean(1)", ".amax(1)"),
        ("AdaptiveAvgPool2d(", "AdaptiveMaxPool2d("),
        (".mean(3).mean(2)", ".amax((2, 3))"),
        (".mean(dim=(-1, -2))", ".sum((2, 3))"),
        ("F.avg_pool2d(", "F.max_pool2d("),
    ),
    "another stage": lambda net: first(
        net,
        nn.Conv2d,
        lambda m: nn.Sequential(m, nn.Conv2d(m.out_channels, m.out_channels, 3, padding=1)),
    ),
    "one activation more": lambda net: first(net, nn.Conv2d, lambda m: nn.Sequential(m, nn.Tanh())),
    "a residual": lambda net: first(
        net, nn.Conv2d, lambda m: Residual(m) if _keeps_shape(m) else None
    ),
    "a kernel": lambda net: first(net, nn.Conv2d, _larger_kernel),
    "a stride": lambda net: first(
        net,
        nn.Conv2d,
        lambda m: (
            nn.Sequential(_like(m, stride=2), nn.Upsample(scale_factor=2))
            if m.stride == (1, 1)
            else None
        ),
    ),
    "a dilation": lambda net: first(
        net,
        nn.Conv2d,
        lambda m: (
            _like(m, dilation=2, padding=2 * m.padding[0])
            if m.padding[0] == m.kernel_size[0] // 2 > 0
            else None
        ),
    ),
    "groups": lambda net: first(net, nn.Conv2d, _more_groups),
    "a bias": lambda net: first(net, nn.Conv2d, lambda m: _like(m, bias=m.bias is None)),
    "a kind of normalisation": lambda net: (
        replace(net, nn.BatchNorm2d, lambda m: nn.GroupNorm(1, m.num_features))
        or replace(net, nn.LayerNorm, lambda m: nn.RMSNorm(m.normalized_shape))
    ),
    "a normalisation less": lambda net: first(
        net, (nn.BatchNorm2d, nn.LayerNorm), lambda _: nn.Identity()
    ),
    "a kind of pooling": lambda net: replace(
        net, nn.MaxPool2d, lambda m: nn.AvgPool2d(m.kernel_size, m.stride, m.padding)
    ),
    "shared weights": _share,
    "the order of activation and normalisation": _swap_norm,
    "attention": lambda net: first(net, nn.Conv2d, lambda m: Attend(m, m.out_channels)),
}


_SOURCE_LEVEL = frozenset(
    name
    for table in (SAME, DIFFERENT)
    for name, function in table.items()
    if function in (rename, reorder, dead_code)
    or getattr(function, "__qualname__", "").startswith(("_text.", "_additions."))
)


def apply(name: str, change: str) -> nn.Module | None:
    """Net `name` after `change`; None where it does not apply."""
    function: Any = SAME.get(change) or DIFFERENT[change]
    if change in _SOURCE_LEVEL:
        tree = function(ast.parse(source(name)))
        return None if tree is None else build(ast.fix_missing_locations(tree))
    net = build(source(name))
    return net if function(net) else None


def pairs(changes: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every net with every change."""
    yield from ((name, change) for name in SOURCES for change in changes)


# Fixtures -----------------------------------------------------------------------------------------


def shuffled(graph: OperatorGraph, seed: int) -> OperatorGraph:
    """The same graph with its nodes in another topological order and commutative inputs in another
    one."""
    generator = random.Random(seed)
    nodes = graph["nodes"]
    place: dict[int, int] = {}
    result: list[GraphNode] = []
    while len(result) < len(nodes):
        ready = [
            i
            for i, n in enumerate(nodes)
            if i not in place and all(j in place for j in n["inputs"])
        ]
        chosen = generator.choice(ready)
        place[chosen] = len(result)
        node = copy.deepcopy(nodes[chosen])
        node["inputs"] = [place[i] for i in node["inputs"]]
        if node["op"] in COMMUTATIVE:
            generator.shuffle(node["inputs"])
        result.append(node)
    return {"nodes": result, "output": place[graph["output"]]}


def fixtures() -> dict[str, Any]:
    """For each net its graph, a shuffled one, what it becomes by `b + a`, and by three of the
    changes in turn."""
    nets: list[dict[str, Any]] = []
    same: list[tuple[int, int, str]] = []
    different: list[tuple[int, int, str]] = []

    def add(name: str, graph: OperatorGraph) -> int:
        nets.append({"name": name, "graph": graph})
        return len(nets) - 1

    changes = list(DIFFERENT)
    for number, name in enumerate(SOURCES):
        graph = trace_graph(build(source(name)), IN_SHAPE)
        base = add(name, graph)
        same.append((base, add(name, shuffled(graph, number)), "another order of nodes"))
        for change in ("b + a", "matmul for nn.Linear", "other ways to pool globally"):
            net = apply(name, change)
            if net is not None:
                same.append((base, add(name, trace_graph(net, IN_SHAPE)), change))
        turn = changes[3 * number % len(changes) :] + changes[: 3 * number % len(changes)]
        applied = ((change, apply(name, change)) for change in turn)
        for change, net in [(c, n) for c, n in applied if n is not None][:4]:
            different.append((base, add(name, trace_graph(net, IN_SHAPE)), change))
    return {"nets": nets, "same": same, "different": different}


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps(fixtures(), separators=(",", ":")) + "\n")

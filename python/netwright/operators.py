"""What each ATen operator is in the canonical graph (see `trace.py`): one small rule for each, and
one for all the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from netwright.graph import Graph, Shape


@dataclass(frozen=True)
class Ref:
    """A tensor argument: the node it stands for."""

    index: int


@dataclass(frozen=True)
class Call:
    """One executed operator: arguments by schema name (tensors as `Ref`), and the shapes of the
    tensors it returned."""

    name: str
    args: Mapping[str, Any]
    shapes: Sequence[Shape]

    def ref(self, name: str) -> int:
        value = self.args[name]
        if not isinstance(value, Ref):
            raise TypeError(f"{self.name}: {name} is no tensor")
        return value.index

    def maybe(self, *names: str) -> list[int]:
        """The tensors among these arguments, absent ones left out."""
        return [value.index for name in names if isinstance(value := self.args.get(name), Ref)]

    def refs(self) -> list[int]:
        """All tensor arguments in order, lists opened."""
        found: list[int] = []
        for value in self.args.values():
            for item in value if isinstance(value, (list, tuple)) else [value]:
                if isinstance(item, Ref):
                    found.append(item.index)
        return found


Rule = Callable[[Graph, Call], list[int]]
RULES: dict[str, Rule] = {}

# Never structure: where and how tensors are stored, and numerical details.
IGNORED = frozenset(
    "dtype layout device memory_format pin_memory generator non_blocking implicit "
    "half_to_float".split()
)
RANDOM = frozenset(
    "rand randn randint randperm normal uniform random exponential cauchy geometric "
    "log_normal".split()
)
FACTORIES = frozenset(
    "arange empty eye full linspace logspace new_empty new_full new_ones new_zeros ones "
    "scalar_tensor tril_indices triu_indices zeros empty_strided new_empty_strided fill "
    "zero".split()
)


def rule(*names: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, function))
        return function

    return register


def canonical(graph: Graph, call: Call) -> list[int]:
    """Nodes of the tensors that `call` returned, in order.

    `call.name` is the operator's name without overload, leading underscores (`_softmax`) and the
    mark of in-place (`relu_`).
    """
    name = call.name.removesuffix("_like")
    if name in RANDOM:
        return [graph.leaf("random", shape) for shape in call.shapes]
    if name == "bernoulli":
        return [graph.leaf("mask", shape) for shape in call.shapes]
    if name in FACTORIES:
        values = {key: value for key, value in call.args.items() if not isinstance(value, Ref)}
        return [graph.constant((name, repr(values)), shape) for shape in call.shapes]
    try:
        return RULES.get(call.name, other)(graph, call)
    except (KeyError, IndexError, TypeError, ValueError):
        # Used in a form that its rule does not know (another PyTorch): taken as it stands.
        return other(graph, call)


def other(graph: Graph, call: Call) -> list[int]:
    """Any operator without a rule: tensors are inputs; integers, booleans and strings attributes;
    floats dropped."""
    inputs = call.refs()
    rank = len(graph.shape(inputs[0])) if inputs else 0
    attributes: dict[str, object] = {}
    for name, value in call.args.items():
        if name in IGNORED or isinstance(value, Ref):
            continue
        if name in ("dim", "dims", "axis") and rank and value is not None:
            value = value % rank if isinstance(value, int) else [dim % rank for dim in value]
        if isinstance(value, (list, tuple)):
            kept = [
                "_" if item is None else "t" if isinstance(item, Ref) else item for item in value
            ]
            if not all(item == "t" for item in kept) and not any(
                isinstance(item, float) for item in kept
            ):
                attributes[name] = kept
        elif isinstance(value, (bool, int, str)):
            attributes[name] = value
    return [
        graph.node(call.name, inputs, shape, **attributes, output=i if i else None)
        for i, shape in enumerate(call.shapes)
    ]


def with_rest(graph: Graph, call: Call, first: int) -> list[int]:
    """`first`, and a node for each further output (indices, saved statistics) in case it is
    used."""
    rest = enumerate(call.shapes[1:], start=1)
    return [first, *(graph.node(call.name, call.refs(), shape, output=i) for i, shape in rest)]


# What does nothing to values, at least in inference -----------------------------------------------


@rule(
    "alias",
    "clone",
    "detach",
    "to_copy",
    "contiguous",
    "lift",
    "lift_fresh",
    "lift_fresh_copy",
    "conj",
    "resolve_conj",
)
@rule("dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout")
def identity(graph: Graph, call: Call) -> list[int]:
    return [graph.expand(call.refs()[0], call.shapes[0])]


@rule("native_dropout", "fused_dropout")
def fused_dropout(graph: Graph, call: Call) -> list[int]:
    return with_rest(graph, call, call.refs()[0])


@rule("copy")
def copy(graph: Graph, call: Call) -> list[int]:
    return [graph.expand(call.ref("src"), call.shapes[0])]


# Views --------------------------------------------------------------------------------------------


@rule(
    "view",
    "unsafe_view",
    "reshape",
    "reshape_alias",
    "reshape_copy",
    "view_copy",
    "squeeze",
    "unsqueeze",
    "flatten",
)
@rule("expand", "expand_copy")
def view(graph: Graph, call: Call) -> list[int]:
    return [graph.expand(call.ref("self"), call.shapes[0])]


@rule("permute", "permute_copy")
def permute(graph: Graph, call: Call) -> list[int]:
    index = call.ref("self")
    rank = len(graph.shape(index))
    return [graph.permute(index, [dim % rank for dim in call.args["dims"]])]


@rule("t", "transpose", "swapaxes", "swapdims")
def transpose(graph: Graph, call: Call) -> list[int]:
    index = call.ref("self")
    rank = len(graph.shape(index))
    dims = list(range(rank))
    if rank > 1:
        numbers = [value % rank for value in call.args.values() if isinstance(value, int)] or [0, 1]
        a, b = numbers
        dims[a], dims[b] = b, a
    return [graph.permute(index, dims)]


@rule("slice")
def slice_(graph: Graph, call: Call) -> list[int]:
    index = call.ref("self")
    shape = graph.shape(index)
    dim = call.args.get("dim", 0) % len(shape)
    start = min(max(_from_end(call.args.get("start") or 0, shape[dim]), 0), shape[dim])
    return [graph.slice(index, dim, start, call.shapes[0][dim], call.args.get("step", 1))]


def _from_end(position: int, size: int) -> int:
    return position + size if position < 0 else position


@rule("select")
def select(graph: Graph, call: Call) -> list[int]:
    index = call.ref("self")
    shape = graph.shape(index)
    dim = call.args["dim"] % len(shape)
    part = graph.slice(index, dim, _from_end(call.args["index"], shape[dim]), 1)
    return [graph.reshape(part, call.shapes[0])]


@rule("unbind")
def unbind(graph: Graph, call: Call) -> list[int]:
    index = call.ref("self")
    dim = call.args.get("dim", 0) % len(graph.shape(index))
    parts = (graph.slice(index, dim, i, 1) for i in range(len(call.shapes)))
    return [graph.reshape(part, shape) for part, shape in zip(parts, call.shapes, strict=True)]


@rule(
    "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk", "unsafe_chunk"
)
def split(graph: Graph, call: Call) -> list[int]:
    index = call.ref("self")
    dim = call.args.get("dim", 0) % len(graph.shape(index))
    start, parts = 0, []
    for shape in call.shapes:
        parts.append(graph.slice(index, dim, start, shape[dim]))
        start += shape[dim]
    return parts


@rule("cat", "concat", "concatenate")
def cat(graph: Graph, call: Call) -> list[int]:
    rank = len(call.shapes[0])
    # PyTorch still lets an empty one-dimensional tensor stand in any list to be concatenated.
    tensors = [index for index in call.refs() if graph.shape(index) != (0,) or rank == 1]
    return [graph.cat(tensors, call.args.get("dim", 0) % rank)]


@rule("stack")
def stack(graph: Graph, call: Call) -> list[int]:
    shape = call.shapes[0]
    dim = call.args.get("dim", 0) % len(shape)
    slot = (*shape[:dim], 1, *shape[dim + 1 :])
    return [
        graph.reshape(graph.cat([graph.reshape(index, slot) for index in call.refs()], dim), shape)
    ]


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(graph: Graph, call: Call) -> list[int]:
    index = call.ref("self")
    batch, channels, *space = graph.shape(index)
    groups = call.args["groups"]
    grouped = graph.reshape(index, (batch, groups, channels // groups, *space))
    swapped = graph.permute(grouped, [0, 2, 1, *range(3, 3 + len(space))])
    return [graph.reshape(swapped, (batch, channels, *space))]


# Arithmetic. Numbers are hyper-parameters: adding or multiplying by one leaves the structure as it


def _operand(graph: Graph, call: Call, name: str) -> int:
    """A tensor argument, or a constant in place of a number."""
    value = call.args[name]
    return value.index if isinstance(value, Ref) else graph.constant("number", ())


@rule("add")
def add(graph: Graph, call: Call) -> list[int]:
    return [graph.add(_operand(graph, call, "self"), _operand(graph, call, "other"))]


@rule("sub")
def sub(graph: Graph, call: Call) -> list[int]:
    return [graph.add(_operand(graph, call, "self"), graph.neg(_operand(graph, call, "other")))]


@rule("rsub")
def rsub(graph: Graph, call: Call) -> list[int]:
    return [graph.add(_operand(graph, call, "other"), graph.neg(_operand(graph, call, "self")))]


@rule("mul")
def mul(graph: Graph, call: Call) -> list[int]:
    a, b = call.args["self"], call.args["other"]
    if isinstance(b, (int, float)) and b < 0:
        return [graph.neg(a.index)]
    return [graph.mul(_operand(graph, call, "self"), _operand(graph, call, "other"))]


@rule("div")
def div(graph: Graph, call: Call) -> list[int]:
    if call.args.get("rounding_mode") is not None:
        return other(graph, call)
    divisor = call.args["other"]
    if not isinstance(divisor, Ref):
        return [graph.neg(call.ref("self")) if divisor < 0 else call.ref("self")]
    return [graph.mul(_operand(graph, call, "self"), graph.reciprocal(divisor.index))]


@rule("neg")
def neg(graph: Graph, call: Call) -> list[int]:
    return [graph.neg(call.ref("self"))]


@rule("reciprocal")
def reciprocal(graph: Graph, call: Call) -> list[int]:
    return [graph.reciprocal(call.ref("self"))]


@rule("rsqrt")
def rsqrt(graph: Graph, call: Call) -> list[int]:
    return [graph.reciprocal(graph.node("sqrt", [call.ref("self")], call.shapes[0]))]


@rule("pow")
def pow_(graph: Graph, call: Call) -> list[int]:
    exponent = call.args["exponent"]
    if isinstance(exponent, Ref) or not isinstance(call.args["self"], Ref):
        return other(graph, call)
    index, shape = call.ref("self"), call.shapes[0]
    root = graph.node("sqrt", [index], shape) if abs(exponent) == 0.5 else index
    if abs(exponent) in (0.5, 1):
        return [graph.reciprocal(root) if exponent < 0 else root]
    if exponent == 2:
        return [graph.mul(index, index)]
    whole = int(exponent) if float(exponent).is_integer() else None
    return [graph.node("pow", [index], shape, exponent=whole)]


@rule("addcmul")
def addcmul(graph: Graph, call: Call) -> list[int]:
    return [graph.add(call.ref("self"), graph.mul(call.ref("tensor1"), call.ref("tensor2")))]


@rule("addcdiv")
def addcdiv(graph: Graph, call: Call) -> list[int]:
    return [
        graph.add(
            call.ref("self"), graph.mul(call.ref("tensor1"), graph.reciprocal(call.ref("tensor2")))
        )
    ]


@rule("maximum", "minimum")
def extremum(graph: Graph, call: Call) -> list[int]:
    return [graph.elementwise(call.name, [call.ref("self"), call.ref("other")])]


@rule("mm", "bmm")
def mm(graph: Graph, call: Call) -> list[int]:
    return [graph.matmul(call.ref("self"), call.ref("mat2"))]


@rule("addmm", "baddbmm")
def addmm(graph: Graph, call: Call) -> list[int]:
    a, b = call.maybe("mat1", "mat2", "batch1", "batch2")
    return [graph.add(graph.matmul(a, b), call.ref("self"))]


@rule("mv", "addmv")
def mv(graph: Graph, call: Call) -> list[int]:
    matrix = call.ref("self") if call.name == "mv" else call.ref("mat")
    column = graph.reshape(call.ref("vec"), (*graph.shape(call.ref("vec")), 1))
    product = graph.reshape(graph.matmul(matrix, column), call.shapes[0])
    return [product if call.name == "mv" else graph.add(product, call.ref("self"))]


# Reductions ---------------------------------------------------------------------------------------


def _reduce(graph: Graph, call: Call, op: str) -> int:
    index = call.ref("self")
    rank = len(graph.shape(index))
    dim = call.args.get("dim")
    dims = range(rank) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    return graph.reduce(op, index, {d % max(rank, 1) for d in dims}, call.shapes[0])


@rule("mean", "sum", "amax", "amin")
def reduction(graph: Graph, call: Call) -> list[int]:
    return [_reduce(graph, call, call.name)]


@rule("max", "min")
def max_(graph: Graph, call: Call) -> list[int]:
    return with_rest(graph, call, _reduce(graph, call, f"a{call.name}"))


# Layers -------------------------------------------------------------------------------------------


def _fill(values: Sequence[int], rank: int) -> list[int]:
    """PyTorch lets one number stand for all spatial dimensions."""
    return list(values) * rank if len(values) == 1 else list(values)


@rule(
    "convolution",
    "convolution_overrideable",
    "cudnn_convolution",
    "mkldnn_convolution",
    "miopen_convolution",
)
def convolution(graph: Graph, call: Call) -> list[int]:
    kernel = graph.shape(call.ref("weight"))[2:]
    rank = len(kernel)
    dilation = _fill(call.args["dilation"], rank)
    attributes: dict[str, object] = {
        "stride": _fill(call.args["stride"], rank),
        "padding": _fill(call.args["padding"], rank),
        # A kernel of one has nothing to dilate.
        "dilation": [1 if size == 1 else d for size, d in zip(kernel, dilation, strict=True)],
        "groups": call.args["groups"],
    }
    if call.args.get("transposed"):
        attributes |= {
            "transposed": True,
            "output_padding": _fill(call.args["output_padding"], rank),
        }
    return [graph.node("convolution", call.refs(), call.shapes[0], **attributes)]


def _pool(graph: Graph, op: str, index: int, shape: Shape, window: Mapping[str, Any]) -> int:
    """2-d pooling: over everything it is a reduction, over single elements nothing."""
    size = graph.shape(index)[-2:]
    kernel, stride, padding = window["kernel"], window["stride"], window["padding"]
    if kernel == [1, 1] == stride and padding == [0, 0]:
        return index
    if shape[-2:] == (1, 1) and tuple(kernel) == size and padding == [0, 0]:
        rank = len(shape)
        return graph.reduce(
            "amax" if op == "max_pool2d" else "mean", index, (rank - 2, rank - 1), shape
        )
    return graph.node(op, [index], shape, **window)


@rule("max_pool2d", "max_pool2d_with_indices", "mkldnn_max_pool2d", "avg_pool2d")
def pool(graph: Graph, call: Call) -> list[int]:
    args = call.args
    kernel = _fill(args["kernel_size"], 2)
    padding = _fill(args.get("padding", [0, 0]), 2)
    window: dict[str, object] = {
        "kernel": kernel,
        "stride": _fill(args.get("stride") or kernel, 2),
        "padding": padding,
        "ceil_mode": args.get("ceil_mode") or None,
    }
    if call.name == "avg_pool2d":
        # Whether padding counts matters only where there is some.
        window["count_include_pad"] = (
            args.get("count_include_pad", True) if padding != [0, 0] else None
        )
        window["divisor"] = args.get("divisor_override")
    else:
        dilation = _fill(args.get("dilation", [1, 1]), 2)
        window["dilation"] = dilation if dilation != [1, 1] else None
    op = "avg_pool2d" if call.name == "avg_pool2d" else "max_pool2d"
    return with_rest(graph, call, _pool(graph, op, call.ref("self"), call.shapes[0], window))


@rule("adaptive_avg_pool2d", "adaptive_max_pool2d")
def adaptive_pool(graph: Graph, call: Call) -> list[int]:
    """Where the output divides the input, the windows are those of an ordinary pooling."""
    index, shape = call.ref("self"), call.shapes[0]
    size, out = graph.shape(index)[-2:], shape[-2:]
    if any(a % b for a, b in zip(size, out, strict=True)):
        first = graph.node(call.name, [index], shape)
    else:
        kernel = [a // b for a, b in zip(size, out, strict=True)]
        op = call.name.removeprefix("adaptive_")
        first = _pool(
            graph, op, index, shape, {"kernel": kernel, "stride": kernel, "padding": [0, 0]}
        )
    return with_rest(graph, call, first)


@rule(
    "native_batch_norm",
    "native_batch_norm_legit",
    "native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
)
@rule("batch_norm_with_update", "batch_norm_no_update", "miopen_batch_norm")
def batch_norm(graph: Graph, call: Call) -> list[int]:
    """The running statistics are no structure; that the batch's own are used is."""
    x = call.refs()[0]
    training = call.args.get("training", call.name == "batch_norm_with_update") or None
    inputs = [x, *call.maybe("weight", "bias")]
    return with_rest(
        graph, call, graph.node("batch_norm", inputs, call.shapes[0], training=training)
    )


@rule("native_layer_norm", "layer_norm")
def layer_norm(graph: Graph, call: Call) -> list[int]:
    first = graph.node(
        "layer_norm", call.refs(), call.shapes[0], rank=len(call.args["normalized_shape"])
    )
    return with_rest(graph, call, first)


@rule("native_group_norm", "group_norm")
def group_norm(graph: Graph, call: Call) -> list[int]:
    groups = call.args.get("group", call.args.get("num_groups"))
    return with_rest(
        graph, call, graph.node("group_norm", call.refs(), call.shapes[0], groups=groups)
    )


@rule("softmax", "safe_softmax", "log_softmax")
def softmax(graph: Graph, call: Call) -> list[int]:
    index = call.ref("self")
    op = "log_softmax" if call.name == "log_softmax" else "softmax"
    return [
        graph.node(op, [index], call.shapes[0], dim=call.args["dim"] % max(len(call.shapes[0]), 1))
    ]


@rule("clamp", "hardtanh", "clamp_min", "clamp_max", "relu6")
def clamp(graph: Graph, call: Call) -> list[int]:
    """Clamping from below at zero is a ReLU; other bounds are numbers, but whether there are two is
    structure."""
    if any(call.maybe("min", "max")):
        return other(graph, call)
    low = call.args.get("min", call.args.get("min_val", -1 if call.name == "hardtanh" else None))
    high = call.args.get("max", call.args.get("max_val", 1 if call.name == "hardtanh" else None))
    index, shape = call.ref("self"), call.shapes[0]
    if high is None and low == 0:
        return [graph.node("relu", [index], shape)]
    both = low is not None and high is not None
    return [
        graph.node(
            "clamp", [index], shape, bounds="both" if both else "lower" if high is None else "upper"
        )
    ]


@rule("elu")
def elu(graph: Graph, call: Call) -> list[int]:
    """PyTorch writes SELU and CELU as an ELU with other factors."""
    scale, input_scale = call.args.get("scale", 1), call.args.get("input_scale", 1)
    op = "selu" if scale != 1 else "celu" if input_scale != 1 else "elu"
    return [graph.node(op, [call.ref("self")], call.shapes[0])]


@rule("upsample_nearest2d", "upsample_nearest_exact2d", "upsample_bilinear2d", "upsample_bicubic2d")
def upsample(graph: Graph, call: Call) -> list[int]:
    """The factor is in the shapes, however it was given."""
    index = call.ref("self") if "self" in call.args else call.refs()[0]
    if graph.shape(index) == call.shapes[0]:
        return [index]
    return [
        graph.node(
            call.name, [index], call.shapes[0], align_corners=call.args.get("align_corners") or None
        )
    ]

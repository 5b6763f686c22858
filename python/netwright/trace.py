"""The operator graph that a net really runs in inference, in canonical form.

`trace_graph` runs one forward pass of two images in evaluation mode, without gradients, on the
net's own device (the meta device too), and records every ATen operator below it
(`TorchDispatchMode`). Running it is what makes the graph true: control flow is followed, dead
layers never show. The result does not depend on the device.

The canonical form (`graph.py` holds the identities, `operators.py` the rule of each operator):

- Leaves are `input`, `parameter` and `constant` (buffers, other tensors and whatever is computed
  from constants alone), with their shapes. A shared parameter is one node. Random tensors are
  `random`, Bernoulli ones `mask`.
- The batch is 2 and shapes are written as they are, batch included: nothing is masked.
- Only what the output depends on is kept; equal operators on equal inputs are one node; nodes are
  numbered depth first from the output. Names, classes, formatting, the order of definitions and of
  independent calls leave no trace.
- `attributes` are `name=value` pairs joined by `;` in a fixed order: integers, booleans and
  strings, lists joined by commas. Floats (eps, slopes, dropout rates) and numbers as operands (`0.5
  * x`, `x + 1`) are hyper-parameters and dropped; only the sign stays, as `neg`.
- In-place operators are their pure form; writing into a part of a tensor is an `update` of what
  shares its memory.
- No-ops vanish: dropout (and multiplication by a Bernoulli mask), identity, clone, contiguous,
  detach, change of type.
- Views that keep the order of elements are one `reshape`; it vanishes where the shape is the same.
  Pointwise operators are moved in front of a reshape. Other views are `permute`, `expand` (dropped
  where broadcasting does the same) and `slice` (`split`, `chunk`, `select`, `unbind`, indexing by
  numbers).
- `stack` is `cat`, and a `cat` inside a `cat` along the same dimension is opened.
- `sub`, `div`, `rsub`, `rsqrt`, `pow` 2, 0.5, -1, `addcmul`, `addmm` ... are spelt with `add`,
  `neg`, `mul`, `reciprocal`, `sqrt`, `matmul`. A linear layer is `add(matmul(x, permute(weight)),
  bias)` on the rank of its input. `x * sigmoid(x)` is `silu`, `clamp(min=0)` is `relu`.
- `mean`, `sum`, `amax` and `amin` take all their dimensions at once, whatever was flattened before.
  Pooling over the whole image, adaptive or not, is `mean` or `amax`; adaptive pooling whose output
  divides its input is `avg_pool2d` or `max_pool2d`.
- `convolution` has stride, padding, dilation and groups (and transposed, output_padding); its
  kernel and widths are the shape of its weight. `batch_norm` has its affine parameters and no
  running statistics. Attention is its matrix products. Recurrent layers are one node each.

The inputs of `graph.COMMUTATIVE` operators (add, mul, maximum, minimum) stand in argument order
here; a reader that compares graphs has to ignore their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from netwright.graph import Graph, GraphTooLarge, OperatorGraph, Shape
from netwright.operators import Call, Ref, canonical, other

__all__ = ["GraphTooLarge", "OperatorGraph", "trace_graph"]

MAX_NODES = 20_000
BATCH = 2

# In-place operators that change how a tensor looks at its memory and not what is there.
_METADATA = frozenset(
    "as_strided_ resize_ set_ squeeze_ swapaxes_ swapdims_ t_ transpose_ unsqueeze_".split()
)
# Recorded whole: below these, every back end does something else.
_RECURRENT = frozenset({"gru", "lstm", "rnn_relu", "rnn_tanh"})


def trace_graph(net: nn.Module, in_shape: tuple[int, int, int, int]) -> OperatorGraph:
    """The canonical operator graph of `net` for images of `in_shape` (batch, channels, height,
    width; the batch is set to 2).

    Raises `GraphTooLarge` past 20,000 operators, `TypeError` when the net returns no tensor, and
    whatever `forward` raises. The modes (training or not) of all modules are restored.
    """
    parameters = list(net.parameters())
    device = parameters[0].device if parameters else torch.device("cpu")
    floating = (p.dtype for p in parameters if p.dtype.is_floating_point)
    shape = (BATCH, *in_shape[1:])
    dtype = next(floating, torch.float32)
    x = torch.linspace(-1, 1, math.prod(shape), dtype=dtype, device=device).reshape(shape)
    recorder = _Recorder(x)
    with _plain_kernels(), _evaluation(net), torch.no_grad(), recorder, _Whole(recorder):
        y = net(x)
    outputs = [leaf for leaf in tree_leaves(y) if isinstance(leaf, Tensor)]
    if not outputs:
        raise TypeError(f"forward must return a tensor, not {type(y).__name__}")
    return recorder.graph.finish(recorder.index_of(outputs[0]))


@contextmanager
def _evaluation(net: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in net.modules()]
    net.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Keeps PyTorch from choosing fused kernels, which differ between devices."""
    fastpath = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fastpath)
        yield


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the operators that run, as nodes of `graph`."""

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = Graph(MAX_NODES)
        self.paused = False
        # Weak, so that activations are freed as they are in any forward pass.
        self._index: MutableMapping[Tensor, int] = WeakTensorKeyDictionary()
        self._index[x] = self.graph.leaf("input", tuple(x.shape))

    def index_of(self, tensor: Tensor) -> int:
        index = self._index.get(tensor)
        if index is None:
            op = (
                "parameter"
                if isinstance(tensor, nn.Parameter) or tensor.requires_grad
                else "constant"
            )
            index = self._index[tensor] = self.graph.leaf(op, tuple(tensor.shape))
        return index

    def refer(self, value: Any) -> Any:
        """`value` with every tensor replaced by its node."""
        return tree_map(
            lambda leaf: Ref(self.index_of(leaf)) if isinstance(leaf, Tensor) else leaf, value
        )

    def keep(self, out: Any, indices: list[int]) -> None:
        for tensor, index in zip(_tensors(out), indices, strict=True):
            self._index[tensor] = index

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        schema = func._schema.arguments
        given = {
            argument.name: value for argument, value in zip(schema, args, strict=False)
        } | kwargs
        # An argument left at its default says nothing, given or not.
        defaults = {
            argument.name: argument.default_value
            for argument in schema
            if argument.has_default_value()
        }
        bound = {
            name: self.refer(value)
            for name, value in given.items()
            if isinstance(value, Tensor) or name not in defaults or value != defaults[name]
        }
        name = func.overloadpacket.__name__
        # Operators with results of their own (batch norm) may also update statistics: only these
        # are in-place or `out=`.
        written = [
            a.name
            for a in schema
            if a.name in ("self", "out") and a.alias_info and a.alias_info.is_write
        ]
        if "out" in written:
            bound.pop("out")
        out = func(*args, **kwargs)
        shapes = [tuple(tensor.shape) for tensor in _tensors(out)]
        indices = canonical(self.graph, Call(name.strip("_"), bound, shapes))
        if not written or name in _METADATA:
            self.keep(out, indices)
        else:
            self._write(given[written[0]], indices[0])
        return out

    def _write(self, target: Tensor, index: int) -> None:
        """`target` now holds node `index`, and every tensor that shares its memory sees it."""
        storage = _storage(target)
        for tensor, old in list(self._index.items()):
            if tensor is target or storage is None or _storage(tensor) != storage:
                continue
            if _geometry(tensor) == _geometry(target):
                self._index[tensor] = index
            elif _same_order(tensor, target):
                self._index[tensor] = self.graph.reshape(index, tuple(tensor.shape))
            elif _overlap(tensor, target):
                size, stride, offset = _geometry(target)
                where = {"size": size, "stride": stride, "offset": offset}
                self._index[tensor] = self.graph.node(
                    "update", [old, index], tuple(tensor.shape), **where
                )
        self._index[target] = index


class _Whole(TorchFunctionMode):
    """Records recurrent layers as one operator each."""

    def __init__(self, recorder: _Recorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name not in _RECURRENT:
            return func(*args, **(kwargs or {}))
        recorder = self._recorder
        bound = {
            str(i): recorder.refer(value)
            for i, value in enumerate([*args, *(kwargs or {}).values()])
        }
        recorder.paused = True
        try:
            out = func(*args, **(kwargs or {}))
        finally:
            recorder.paused = False
        shapes = [tuple(tensor.shape) for tensor in _tensors(out)]
        recorder.keep(out, other(recorder.graph, Call(name, bound, shapes)))
        return out


def _tensors(out: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int | None:
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse and the like: not shared
        return None


def _geometry(tensor: Tensor) -> tuple[Shape, Shape, int]:
    return tuple(tensor.shape), tuple(tensor.stride()), int(tensor.storage_offset())


def _same_order(a: Tensor, b: Tensor) -> bool:
    """Whether both show the same elements in the same order, in different shapes."""
    together = a.numel() == b.numel() and a.storage_offset() == b.storage_offset()
    return bool(together and a.is_contiguous() and b.is_contiguous())


def _overlap(a: Tensor, b: Tensor) -> bool:
    """Whether two views of one storage share an element."""
    if 0 in (a.numel(), b.numel()):
        return False
    last = 0
    for size, stride, offset in map(_geometry, (a, b)):
        last = max(last, offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)))
    elements = np.arange(last + 1)
    touched = np.zeros(len(elements), dtype=bool)
    touched[_elements(elements, a)] = True
    return bool(touched[_elements(elements, b)].any())


def _elements(storage: np.ndarray[Any, np.dtype[np.int64]], tensor: Tensor) -> Any:
    size, stride, offset = _geometry(tensor)
    step = storage.itemsize
    return np.lib.stride_tricks.as_strided(
        storage[offset:], size, [s * step for s in stride], writeable=False
    )

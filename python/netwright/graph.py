"""A hash-consed graph of tensor operators that keeps itself in canonical form.

Every builder method applies the identities of its operator at once (a reshape of a reshape is one
reshape, a permutation that only moves dimensions of size one is a reshape, ...), so equal functions
written differently become the same node. The rules that map PyTorch's operators on these methods
are in `operators.py`; the canonical form is described in `trace.py`. Nothing here knows PyTorch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypedDict

Shape = tuple[int, ...]

# Operators whose inputs may be read in any order.
COMMUTATIVE = frozenset({"add", "mul", "maximum", "minimum"})

# Operators that act on each element alone, so that they commute with a reshape.
POINTWISE = frozenset(
    "abs celu clamp cos elu erf exp expm1 floor gelu hardshrink hardsigmoid hardswish leaky_relu "
    "log log1p log_sigmoid mish neg pow reciprocal relu round selu sigmoid sign silu sin softplus "
    "softshrink sqrt tanh".split()
)


class GraphNode(TypedDict):
    op: str
    attributes: str
    shape: list[int]
    inputs: list[int]


class OperatorGraph(TypedDict):
    """`OperatorGraph` of src/study/types.ts: nodes in topological order, and the index of the
    output."""

    nodes: list[GraphNode]
    output: int


class GraphTooLarge(RuntimeError):
    """The forward pass runs more operators than a graph may hold."""


class Node(NamedTuple):
    op: str
    attributes: str
    shape: Shape
    inputs: tuple[int, ...]


def broadcast(shapes: Iterable[Shape]) -> Shape:
    """The shape that elementwise operands of these shapes have together (as NumPy does it)."""
    reversed_shapes = [shape[::-1] for shape in shapes]
    rank = max((len(shape) for shape in reversed_shapes), default=0)
    sizes = []
    for i in range(rank):
        column = [shape[i] for shape in reversed_shapes if i < len(shape)]
        sizes.append(next((size for size in column if size != 1), 1))
    return tuple(sizes[::-1])


def dims_before_reshape(before: Shape, after: Shape, dims: Iterable[int]) -> tuple[int, ...] | None:
    """Which dimensions of `before` hold what `dims` of `after` hold, or None when they share blocks
    with other dimensions.

    A reshape splits both shapes into smallest blocks of equal product; `dims` must consist of whole
    blocks.
    """
    wanted = {dim for dim in dims if after[dim] != 1}
    if math.prod(before) != math.prod(after) or 0 in before:
        return None
    source = [i for i, size in enumerate(before) if size != 1]
    target = [i for i, size in enumerate(after) if size != 1]
    found: list[int] = []
    while source:
        left, right = [source.pop(0)], [target.pop(0)]
        while (a := math.prod(before[i] for i in left)) != (
            b := math.prod(after[i] for i in right)
        ):
            if a < b:
                left.append(source.pop(0))
            else:
                right.append(target.pop(0))
        inside = wanted.intersection(right)
        if inside and len(inside) != len(right):
            return None
        if inside:
            found += left
    return tuple(found)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(_text(item) for item in value)
    return str(value)


class Graph:
    """Builds nodes; each method returns the index of a node that has the value asked for, an old
    one where there is one."""

    def __init__(self, limit: int) -> None:
        self.nodes: list[Node] = []
        self._known: dict[object, int] = {}
        self._limit = limit

    def _append(self, node: Node) -> int:
        if len(self.nodes) >= self._limit:
            raise GraphTooLarge(
                f"the forward pass runs more than {self._limit:,} operators; "
                "use fewer layers or steps"
            )
        self.nodes.append(node)
        return len(self.nodes) - 1

    def shape(self, index: int) -> Shape:
        return self.nodes[index].shape

    def leaf(self, op: str, shape: Shape) -> int:
        """A new input, parameter, constant or noise, equal to no other."""
        return self._append(Node(op, "", shape, ()))

    def constant(self, key: object, shape: Shape) -> int:
        """A tensor that depends on no input and no parameter; equal keys are equal values."""
        known = self._known.get(("constant", key, shape))
        if known is None:
            known = self._known[("constant", key, shape)] = self.leaf("constant", shape)
        return known

    def is_constant(self, index: int) -> bool:
        return self.nodes[index].op == "constant"

    def is_number(self, index: int) -> bool:
        return self.is_constant(index) and math.prod(self.shape(index)) == 1

    def node(self, op: str, inputs: Sequence[int], shape: Shape, /, **attributes: object) -> int:
        """A node of any operator. What depends on constants alone is a constant."""
        text = ";".join(
            f"{name}={_text(value)}" for name, value in attributes.items() if value is not None
        )
        ordered = tuple(sorted(inputs)) if op in COMMUTATIVE else tuple(inputs)
        key = (op, text, shape, ordered)
        if inputs and all(self.is_constant(index) for index in inputs):
            return self.constant(key, shape)
        if op in POINTWISE and len(inputs) == 1 and self.nodes[inputs[0]].op == "reshape":
            (source,) = self.nodes[inputs[0]].inputs
            return self.reshape(self.node(op, [source], self.shape(source), **attributes), shape)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._append(Node(op, text, shape, tuple(inputs)))
        return known

    def reshape(self, index: int, shape: Shape) -> int:
        if self.nodes[index].op == "reshape":
            (index,) = self.nodes[index].inputs
        return index if self.shape(index) == shape else self.node("reshape", [index], shape)

    def permute(self, index: int, dims: Sequence[int]) -> int:
        """`dims[i]` is the dimension of the source that becomes dimension i."""
        node = self.nodes[index]
        if node.op == "permute":
            first = [int(dim) for dim in node.attributes.removeprefix("dims=").split(",")]
            return self.permute(node.inputs[0], [first[dim] for dim in dims])
        shape = tuple(node.shape[dim] for dim in dims)
        moved = [dim for dim in dims if node.shape[dim] != 1]
        if moved == sorted(moved):
            return self.reshape(index, shape)
        return self.node("permute", [index], shape, dims=dims)

    def expand(self, index: int, shape: Shape) -> int:
        if math.prod(self.shape(index)) == math.prod(shape):
            return self.reshape(index, shape)
        return self.node("expand", [index], shape)

    def slice(self, index: int, dim: int, start: int, length: int, step: int = 1) -> int:
        shape = self.shape(index)
        if length == shape[dim]:
            return index
        sliced = (*shape[:dim], length, *shape[dim + 1 :])
        return self.node(
            "slice", [index], sliced, dim=dim, start=start, step=None if step == 1 else step
        )

    def cat(self, indices: Sequence[int], dim: int) -> int:
        """Concatenations inside a concatenation along the same dimension are opened."""
        parts: list[int] = []
        for index in indices:
            node = self.nodes[index]
            parts += (
                node.inputs if node.op == "cat" and node.attributes == f"dim={dim}" else [index]
            )
        if len(parts) == 1:
            return parts[0]
        shape = self.shape(parts[0])
        total = sum(self.shape(part)[dim] for part in parts)
        return self.node("cat", parts, (*shape[:dim], total, *shape[dim + 1 :]), dim=dim)

    def reduce(self, op: str, index: int, dims: Iterable[int], shape: Shape) -> int:
        """mean, sum, amax or amin over `dims`; kept as sizes of one inside, then reshaped to
        `shape`."""
        dims = tuple(sorted(dim for dim in dims if self.shape(index)[dim] != 1))
        if not dims:
            return self.reshape(index, shape)
        node = self.nodes[index]
        if node.op == "reshape":
            source = node.inputs[0]
            before = dims_before_reshape(self.shape(source), node.shape, dims)
            if before is not None:
                return self.reduce(op, source, before, shape)
        if node.op == op:
            inner = [int(dim) for dim in node.attributes.removeprefix("dims=").split(",")]
            return self.reduce(op, node.inputs[0], {*inner, *dims}, shape)
        kept = tuple(1 if i in dims else size for i, size in enumerate(node.shape))
        return self.reshape(self.node(op, [index], kept, dims=dims), shape)

    def elementwise(self, op: str, inputs: Sequence[int]) -> int:
        """An operator that broadcasts its inputs, which therefore need no explicit expansion."""
        shape = broadcast(self.shape(index) for index in inputs)
        operands = list(inputs)
        for i, index in enumerate(operands):
            if self.nodes[index].op != "expand":
                continue
            shorter = [*operands[:i], self.nodes[index].inputs[0], *operands[i + 1 :]]
            if broadcast(self.shape(operand) for operand in shorter) == shape:
                operands = shorter
        return self.node(op, operands, shape)

    def add(self, a: int, b: int) -> int:
        for x, y in ((a, b), (b, a)):
            if self.is_number(y) and broadcast([self.shape(x), self.shape(y)]) == self.shape(x):
                return x
            # The bias of a linear layer is added before or after its output gets its shape, as the
            # back end likes.
            node = self.nodes[x]
            if node.op == "reshape" and self.nodes[node.inputs[0]].op == "matmul":
                product = node.inputs[0]
                if self.shape(y) == node.shape[-1:] == self.shape(product)[-1:]:
                    return self.reshape(self.elementwise("add", [product, y]), node.shape)
        return self.elementwise("add", [a, b])

    def neg(self, a: int) -> int:
        node = self.nodes[a]
        return node.inputs[0] if node.op == "neg" else self.node("neg", [a], node.shape)

    def mul(self, a: int, b: int) -> int:
        for x, y in ((a, b), (b, a)):
            # A factor that is a number is a hyper-parameter; a random mask is dropout.
            known = self.is_number(y) or self.nodes[y].op == "mask"
            if known and broadcast([self.shape(x), self.shape(y)]) == self.shape(x):
                return x
            if self.nodes[y].op == "sigmoid" and self.nodes[y].inputs == (x,):
                return self.node("silu", [x], self.shape(x))
        return self.elementwise("mul", [a, b])

    def reciprocal(self, a: int) -> int:
        node = self.nodes[a]
        return (
            node.inputs[0] if node.op == "reciprocal" else self.node("reciprocal", [a], node.shape)
        )

    def matmul(self, a: int, b: int) -> int:
        """Product over the last dimension of `a`: of two matrices, of two batches of matrices, or
        of any rank with a matrix."""
        node = self.nodes[a]
        if len(node.shape) == 2 and len(self.shape(b)) == 2 and node.op == "reshape":
            source = node.inputs[0]
            if self.shape(source)[-1:] == node.shape[-1:]:
                product = self.node(
                    "matmul", [source, b], (*self.shape(source)[:-1], self.shape(b)[-1])
                )
                return self.reshape(product, (node.shape[0], self.shape(b)[-1]))
        return self.node("matmul", [a, b], (*node.shape[:-1], self.shape(b)[-1]))

    def finish(self, output: int) -> OperatorGraph:
        """The nodes that `output` depends on, numbered in depth-first order from it, whatever order
        they ran in."""
        number: dict[int, int] = {}
        nodes: list[GraphNode] = []
        stack = [output]
        while stack:
            index = stack[-1]
            node = self.nodes[index]
            waiting = [i for i in node.inputs if i not in number]
            if waiting:
                stack += waiting[::-1]
                continue
            stack.pop()
            if index in number:
                continue
            number[index] = len(nodes)
            nodes.append(
                {
                    "op": node.op,
                    "attributes": node.attributes,
                    "shape": list(node.shape),
                    "inputs": [number[i] for i in node.inputs],
                }
            )
        return {"nodes": nodes, "output": number[output]}

"""A candidate module (the LEMUR contract): loading it, checking it, and saying where it broke.

The contract: `supported_hyperparameters() -> set[str]` and `class Net(nn.Module)` with
`__init__(self, in_shape, out_shape, prm, device)`, `forward(self, x)`, `train_setup(self, prm)` and
`learn(self, train_data)`; `in_shape` is (batch, channels, height, width), `out_shape` (classes,).
"""

from __future__ import annotations

import ast
import inspect
import linecache
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from netwright.trace import GraphTooLarge, OperatorGraph, trace_graph

FILENAME = "<candidate>"
MODULE = "candidate"
MESSAGE_LENGTH = 300
SOURCE_LENGTH = 200

Outcome = Literal[
    "syntax",
    "contract",
    "init",
    "forward",
    "shape",
    "too-large",
    "train",
    "timeout",
    "out-of-memory",
]

Stage = Literal["load", "init", "forward", "train", "trace", "evaluate"]

STAGE_OUTCOMES: Mapping[Stage, Outcome] = {
    "load": "contract",
    "init": "init",
    "forward": "forward",
    "train": "train",
    "trace": "forward",
    "evaluate": "forward",
}
"""What a candidate that breaks in a stage ends as, unless the error itself says otherwise."""

STAGE_WORDS: Mapping[Stage, str] = {
    "load": "while its module was loaded",
    "init": "while Net was built",
    "forward": "in its forward pass",
    "train": "while training",
    "trace": "while its operators were traced",
    "evaluate": "while predicting",
}

ALWAYS_GIVEN = ("lr", "momentum", "dropout", "batch")


@dataclass(frozen=True)
class Failure:
    """Why a candidate is not valid; `line` is 1-based in its own code."""

    outcome: Outcome
    message: str
    line: int | None = None
    source: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Refused(Exception):
    """The candidate is not valid, and this is why. `parameters` is their number where known."""

    def __init__(self, failure: Failure, parameters: int | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.parameters = parameters


class TimeIsUp(BaseException):
    """Raised inside the candidate's own code when its time is over, so that the line is known."""


class ContractError(Exception):
    """The candidate asked for something that the contract does not give."""


class UndeclaredHyperparameter(KeyError):
    """`prm` was asked for a name that `supported_hyperparameters` does not declare."""

    def __str__(self) -> str:
        return f"prm[{self.args[0]!r}] is not declared by supported_hyperparameters()"


class Hyperparameters(dict[str, Any]):
    """`prm`: the protocol's settings, and 0.5 for every other name that the candidate declares."""

    def __missing__(self, name: str) -> Any:
        raise UndeclaredHyperparameter(name)


@dataclass(frozen=True)
class Candidate:
    """A loaded module that has the contract's names; nothing of Net has run yet."""

    code: str
    net: type[nn.Module]
    hyperparameters: frozenset[str]

    def prm(self, given: Mapping[str, float | int]) -> Hyperparameters:
        extra = {name: 0.5 for name in self.hyperparameters if name not in ALWAYS_GIVEN}
        return Hyperparameters({**extra, **given})


class Stages:
    """Runs the candidate's code stage by stage; `announce` hears of each stage before it begins."""

    def __init__(self, code: str, announce: Callable[[Stage], None]) -> None:
        self._code = code
        self._announce = announce

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """What is raised inside is the candidate's doing: a `Refused` that names its line."""
        self._announce(stage)
        try:
            yield
        except Refused:
            raise
        except BaseException as error:
            raise Refused(failure_of(error, stage, self._code)) from None


def source_line(code: str, line: int | None) -> str | None:
    if line is None:
        return None
    lines = code.splitlines()
    return lines[line - 1].strip()[:SOURCE_LENGTH] if 0 < line <= len(lines) else None


def blamed(code: str, outcome: Outcome, message: str, line: int | None = None) -> Refused:
    return Refused(Failure(outcome, message[:MESSAGE_LENGTH], line, source_line(code, line)))


def failure_of(error: BaseException, stage: Stage, code: str) -> Failure:
    """What `error`, raised by the candidate in `stage`, amounts to, with its deepest own line."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILENAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    try:
        text = " ".join(str(error).split())
    except BaseException:  # its own __str__ may raise anything
        text = ""
    outcome = STAGE_OUTCOMES[stage]
    if isinstance(error, SyntaxError) and error.filename == FILENAME:
        outcome, line, text = "syntax", error.lineno, str(error.msg)
    elif isinstance(error, TimeIsUp):
        outcome = "timeout"
    elif isinstance(error, (UndeclaredHyperparameter, ContractError)):
        outcome = "contract"
    elif is_out_of_memory(error, text):
        outcome = "out-of-memory"
    name = "Timeout" if isinstance(error, TimeIsUp) else type(error).__name__
    message = f"{name}: {text}" if text else name
    return Failure(outcome, message[:MESSAGE_LENGTH], line, source_line(code, line))


def is_out_of_memory(error: BaseException, text: str) -> bool:
    """Python's, the C++ library's, PyTorch's CPU allocator's and CUDA's ways to say it."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    signs = (
        *("can't allocate memory", "std::bad_alloc", "out of memory", "Cannot allocate memory"),
        *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    )
    return isinstance(error, (RuntimeError, OSError)) and any(sign in text for sign in signs)


def parse(code: str) -> None:
    """Raises `Refused` with the line when `code` is not Python."""
    try:
        ast.parse(code, FILENAME)
    except SyntaxError as error:
        raise blamed(code, "syntax", f"{type(error).__name__}: {error.msg}", error.lineno) from None
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, absurd nesting
        raise blamed(code, "syntax", f"{type(error).__name__}: {error}") from None


def load(code: str, stages: Stages) -> Candidate:
    """Runs the module's top level and looks at its names; raises `Refused`."""
    parse(code)
    module = types.ModuleType(MODULE)
    module.__dict__["__file__"] = FILENAME
    sys.modules[MODULE] = module  # dataclasses and pickle look a class's module up here
    lines = code.splitlines(keepends=True)
    linecache.cache[FILENAME] = (len(code), None, lines, FILENAME)  # for inspect.getsource
    with stages("load"):
        exec(compile(code, FILENAME, "exec", dont_inherit=True), module.__dict__)
        declared = _function(code, module, "supported_hyperparameters")()
        if not isinstance(declared, (set, frozenset)) or not all(
            isinstance(name, str) for name in declared
        ):
            raise blamed(
                code,
                "contract",
                "supported_hyperparameters() must return a set of names, "
                f"but it returned {type(declared).__name__}",
                _line_of(module.__dict__["supported_hyperparameters"]),
            )
        net = module.__dict__.get("Net")
        if not isinstance(net, type):
            raise blamed(code, "contract", "The module defines no class Net")
        if not issubclass(net, nn.Module):
            raise blamed(code, "contract", "Net must be a subclass of torch.nn.Module")
        _accepts(code, net, "__init__", 5, "(self, in_shape, out_shape, prm, device)")
        _accepts(code, net, "forward", 2, "(self, x)")
        _accepts(code, net, "train_setup", 2, "(self, prm)")
        _accepts(code, net, "learn", 2, "(self, train_data)")
    return Candidate(code, net, frozenset(declared))


def _function(code: str, module: types.ModuleType, name: str) -> Callable[[], object]:
    found = module.__dict__.get(name)
    if not callable(found):
        raise blamed(code, "contract", f"The module defines no function {name}()")
    return found  # type: ignore[no-any-return]


def _line_of(function: object) -> int | None:
    made = getattr(function, "__code__", None)
    if not isinstance(made, types.CodeType) or made.co_filename != FILENAME:
        return None
    return made.co_firstlineno


def _accepts(code: str, net: type[nn.Module], name: str, arguments: int, wanted: str) -> None:
    method = getattr(net, name, None)
    # nn.Module has a forward of its own, which only raises.
    if method is None or method is getattr(nn.Module, name, None):
        raise blamed(code, "contract", f"Net defines no {name}{wanted}")
    try:
        inspect.signature(method).bind(*[None] * arguments)
    except TypeError:
        line = _line_of(method)
        raise blamed(code, "contract", f"Net.{name} must take {wanted}", line) from None


def count_parameters(net: nn.Module) -> int:
    """Elements of all parameters; those of lazy modules count once they are materialised."""
    return sum(
        parameter.numel()
        for parameter in net.parameters()
        if not isinstance(parameter, nn.UninitializedParameter)
    )


def require_size(parameters: int, limit: int) -> None:
    if parameters > limit:
        failure = Failure("too-large", f"Net has {parameters:,} parameters; the limit is {limit:,}")
        raise Refused(failure, parameters)


def build(
    candidate: Candidate,
    in_shape: tuple[int, int, int, int],
    classes: int,
    prm: Mapping[str, float | int],
    device: torch.device,
    limit: int,
    seed: int,
    stages: Stages,
) -> tuple[nn.Module, int]:
    """Net on `device`, made from `seed`, and its number of parameters, at most `limit`.

    It is built on the meta device first, where tensors have shapes and no storage, so that one that
    is too large is refused without memory. Code that needs values while it builds cannot run there;
    such a net is counted after it was really built.
    """
    with stages("init"):
        try:
            with torch.device("meta"):
                meta = candidate.net(in_shape, (classes,), candidate.prm(prm), torch.device("meta"))
                parameters = count_parameters(meta)
        except TimeIsUp:
            raise
        except BaseException:
            parameters = 0  # if it is the candidate's fault, the real thing breaks as well
        require_size(parameters, limit)
        torch.manual_seed(seed)
        net = candidate.net(in_shape, (classes,), candidate.prm(prm), device)
        if not isinstance(net, nn.Module):
            raise blamed(candidate.code, "contract", "Net(...) did not make a torch.nn.Module")
        parameters = count_parameters(net)
        require_size(parameters, limit)
        return net.to(device), parameters


def require_logits(
    candidate: Candidate, output: object, batch: int, classes: int, finite: bool
) -> Tensor:
    """`output` if it is a floating-point tensor of shape (batch, classes), else `Refused`."""

    def refuse(what: str) -> Refused:
        wanted = f"expected a floating-point tensor of shape ({batch}, {classes})"
        line = _line_of(candidate.net.forward)
        return blamed(candidate.code, "shape", f"forward returned {what}; {wanted}", line)

    if not isinstance(output, Tensor):
        raise refuse(f"a {type(output).__name__}")
    if tuple(output.shape) != (batch, classes):
        raise refuse(f"a tensor of shape {tuple(output.shape)}")
    if not output.is_floating_point():
        raise refuse(f"a tensor of {output.dtype}")
    if finite and not bool(torch.isfinite(output).all()):
        raise refuse("values that are not finite")
    return output


def check_forward(
    candidate: Candidate,
    net: nn.Module,
    images: Tensor,
    classes: int,
    limit: int,
    stages: Stages,
) -> int:
    """One pass in evaluation and one in training mode over `images` (batch, C, H, W).

    Returns the number of parameters, which lazy modules have only now.
    """
    with stages("forward"):
        net.eval()
        with torch.no_grad():
            require_logits(candidate, net(images), len(images), classes, finite=True)
        net.train()
        require_logits(candidate, net(images), len(images), classes, finite=True)
        parameters = count_parameters(net)
        require_size(parameters, limit)
        return parameters


def trace(net: nn.Module, in_shape: tuple[int, int, int, int], stages: Stages) -> OperatorGraph:
    """The operator graph of one forward pass.

    The net has passed forward before, so an error that is not raised by its own code is the
    tracer's: it is left as it is, to be seen as the fault of this program.
    """
    with stages("trace"):
        try:
            return trace_graph(net, in_shape)
        except GraphTooLarge as error:
            raise Refused(Failure("too-large", str(error)[:MESSAGE_LENGTH])) from None
        except Exception as error:
            if _raised_by_candidate(error) or is_out_of_memory(error, str(error)):
                raise
            ours = error
    raise ours


def _raised_by_candidate(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename == FILENAME

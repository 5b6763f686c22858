"""The process of one candidate: made ready ahead of its request, confined, and gone after it.

It speaks JSON lines to the worker that forked it: `ready`, then `stage` and `progress`,
and one `result`.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import os
import random
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import torch

from netwright.candidate import (
    Refused,
    Stage,
    Stages,
    TimeIsUp,
    build,
    check_forward,
    failure_of,
    load,
    trace,
)
from netwright.prepared import Prepared
from netwright.sandbox import (
    close_descriptors,
    confine,
    die_with_parent,
    hide_memory,
    limit_cpu,
)
from netwright.train import (
    Batches,
    Normaliser,
    Progress,
    Protocol,
    epoch_seed,
    learn,
    predict,
    set_up,
)

# What is needed after the candidate has run, out of reach of its assignments to these modules.
_write, _exit, _dumps, _now = os.write, os._exit, json.dumps, time.perf_counter
_encode, _peak, _self = base64.b64encode, resource.getrusage, resource.RUSAGE_SELF

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Settings:
    """What every candidate of a worker has in common; `memory` in bytes."""

    device: torch.device
    device_files: list[str]
    threads: int
    memory: int


def serve(worker: int, requests: int, results: int, data: Prepared, settings: Settings) -> NoReturn:
    """Readies the device, answers one request and ends the process."""

    def report(message: dict[str, Any]) -> None:
        pending = memoryview((_dumps(message) + "\n").encode())
        while pending:
            pending = pending[_write(results, pending) :]

    status = 0
    try:
        die_with_parent(worker)
        os.setsid()
        hide_memory()
        close_descriptors((requests, results))
        data, name = _prepare_device(data, settings)
        layers = confine(settings.memory, settings.threads, settings.device_files)
        report({"type": "ready", "deviceName": name, "sandbox": layers})
        request = _read_request(requests)
        if request is not None:
            report({"type": "result", **_answer(request, data, settings.device, report)})
    except BaseException as error:
        status = 1
        last = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({os.path.basename(last.filename)}:{last.lineno})"
        report({"type": "result", "status": "error", "message": text[:1000]})
    finally:
        _exit(status)


def usable_threads() -> int:
    """CPUs this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prepare_device(data: Prepared, settings: Settings) -> tuple[Prepared, str]:
    device = settings.device
    torch.set_num_threads(settings.threads)
    if device.type == "cpu":
        return data, f"CPU, {settings.threads} thread{'' if settings.threads == 1 else 's'}"
    torch.cuda.set_device(device)
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, settings.memory / total), device)
    moved = data.to(device)
    # The first call of each library loads it: pay for that before the candidate's clock starts.
    warm = torch.nn.functional.conv2d(
        torch.zeros(1, 3, 8, 8, device=device), torch.zeros(4, 3, 3, 3, device=device)
    )
    (warm.flatten(1) @ torch.zeros(warm[0].numel(), 2, device=device)).cpu()
    return moved, torch.cuda.get_device_name(device)


def _read_request(descriptor: int) -> dict[str, Any] | None:
    """The request, or None when the worker has none for this process."""
    pieces = bytearray()
    while piece := os.read(descriptor, 1 << 16):
        pieces += piece
    os.close(descriptor)
    return json.loads(pieces) if pieces else None


def _answer(
    request: Mapping[str, Any], data: Prepared, device: torch.device, report: Report
) -> dict[str, Any]:
    def announce(stage: Stage) -> None:
        report({"type": "stage", "stage": stage})

    def time_is_up(signum: int, frame: object) -> None:
        raise TimeIsUp(f"not finished after {seconds:g} s")

    code: str = request["code"]
    seconds = float(request["seconds"])
    stages = Stages(code, announce)
    limit_cpu(math.ceil(seconds * usable_threads()) + 60)
    signal.signal(signal.SIGALRM, time_is_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    seed = int(request["protocol"]["seed"])
    random.seed(seed)
    np.random.seed(seed % 2**32)
    protocol = Protocol(
        epochs=request["protocol"]["epochs"],
        batch=request["protocol"]["batch"],
        lr=request["protocol"]["lr"],
        momentum=request["protocol"]["momentum"],
        dropout=request["protocol"]["dropout"],
        transform=request["protocol"]["transform"],
        seed=seed,
        train_images=request["protocol"]["trainImages"],
    )
    run = _check if request["type"] == "check" else _train
    try:
        return run(code, protocol, request["parameters"], data, device, stages, report)
    except Refused as refused:
        return {
            "status": "failed",
            "failure": refused.failure.as_dict(),
            "parameters": refused.parameters,
        }
    except TimeIsUp as error:  # between two stages
        failure = failure_of(error, "train", code)
        return {"status": "failed", "failure": failure.as_dict(), "parameters": None}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _check(
    code: str,
    protocol: Protocol,
    limit: int,
    data: Prepared,
    device: torch.device,
    stages: Stages,
    report: Report,
) -> dict[str, Any]:
    """Every stage once: load, build, forward, a training step or two, the operator graph."""
    in_shape = (protocol.batch, *data.image_shape)
    candidate = load(code, stages)
    net, parameters = build(
        candidate, in_shape, data.classes, protocol.prm, device, limit, protocol.seed, stages
    )
    try:
        images = Normaliser(data)(data.train_images[:2])
        parameters = check_forward(candidate, net, images, data.classes, limit, stages)
        set_up(net, candidate.prm(protocol.prm), stages)
        # Two batches, so that a second pass over them is noticed here and not after an epoch.
        count = min(len(data.train_images), 2 * protocol.batch)
        learn(net, Batches(data, count, protocol.batch, False, protocol.seed), stages)
        graph = trace(net, (2, *data.image_shape), stages)
    except Refused as refused:
        raise Refused(refused.failure, refused.parameters or parameters) from None
    return {"status": "checked", "parameters": parameters, "graph": graph}


def _train(
    code: str,
    protocol: Protocol,
    limit: int,
    data: Prepared,
    device: torch.device,
    stages: Stages,
    report: Report,
) -> dict[str, Any]:
    """All epochs of the protocol, then a prediction for every validation and test image."""

    def tell(epoch: int, batch: int, batches: int, left: float | None) -> None:
        report(
            {
                "type": "progress",
                "epoch": epoch,
                "batch": batch,
                "batches": batches,
                "secondsLeft": left,
            }
        )

    begun = _now()
    total = len(data.train_images)
    images = total if protocol.train_images is None else min(total, protocol.train_images)
    candidate = load(code, stages)
    in_shape = (protocol.batch, *data.image_shape)
    net, _ = build(
        candidate, in_shape, data.classes, protocol.prm, device, limit, protocol.seed, stages
    )
    # The candidate may assign to what it is given; what is predicted stays as it was.
    validation, test, normalise = data.validation_images, data.test_images, Normaliser(data)
    progress = Progress(protocol.epochs, tell)
    set_up(net, candidate.prm(protocol.prm), stages)
    for epoch in range(1, protocol.epochs + 1):
        flip = protocol.transform == "norm_flip"
        taken = functools.partial(progress, epoch)
        seed = epoch_seed(protocol.seed, epoch)
        batches = Batches(data, images, protocol.batch, flip, seed, taken)
        learn(net, batches, stages)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    trained = _now()

    def predicted(split: torch.Tensor) -> str:
        return _encode(
            predict(candidate, net, split, normalise, data.classes, stages).numpy().tobytes()
        ).decode()

    predictions = {
        "validation": None if validation is None else predicted(validation),
        "test": predicted(test),
    }
    return {
        "status": "trained",
        "predictions": predictions,
        "trainSeconds": trained - begun,
        "evaluateSeconds": _now() - trained,
        "peakMemoryMiB": _peak_memory(device) >> 20,
    }


def _peak_memory(device: torch.device) -> int:
    """Bytes: what PyTorch had on the GPU at most, or else what was resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = _peak(_self).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10

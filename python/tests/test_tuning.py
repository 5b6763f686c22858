"""The LoRA run, on a tiny model that learns to give one answer."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import torch
from gguf import GGUFReader
from tiny_models import make_model, save_folder, write_gguf

from netwright.tuning import memory
from netwright.tuning.__main__ import failure, plan
from netwright.tuning.base_model import Load, TuningError, estimate_memory, read_base
from netwright.tuning.examples import Example, steps_of
from netwright.tuning.loss import answer_loss
from netwright.tuning.memory import FOUR_BIT, GPU_SHARE, HALF, Fit, fit, needed, ways
from netwright.tuning.run import Run, Settings, read_run
from netwright.tuning.tuner import Tuner, schedule

SETTINGS: dict[str, Any] = {
    "rank": 4,
    "alpha": 8,
    "dropout": 0.1,
    "learningRate": 0.01,
    "epochs": 4,
    "accumulation": 2,
    "gradient": "answer",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_folder(folder)
    return folder


def example(question: str, answer: str, held_out: bool = False) -> dict[str, Any]:
    return {
        "messages": [{"role": "user", "content": question}],
        "prefill": "```",
        "answer": answer,
        "heldOut": held_out,
    }


CORPUS = [
    example(f"question {i}" + " very" * i, "the same answer\n```", i % 4 == 3) for i in range(8)
]


def make_run(folder: Path, model: Path, corpus: list[dict[str, Any]], **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    given = {
        "base": str(model),
        "settings": {**SETTINGS, **changes.pop("settings", {})},
        "device": "cpu",
        "threads": 1,
        "maxTokens": 256,
        "seed": 1,
        **changes,
    }
    (folder / "run.json").write_text(json.dumps(given))
    (folder / "corpus.jsonl").write_text("".join(json.dumps(e) + "\n" for e in corpus))
    return folder


def start(folder: Path, *options: str) -> subprocess.Popen[bytes]:
    """The run as its parent starts it: events go to a file in the folder."""
    command = f'exec "$0" -m netwright.tuning {" ".join(options)} "$1" 3>"$1/events" 2>"$1/log"'
    return subprocess.Popen(
        ["bash", "-c", command, sys.executable, str(folder)], stdin=subprocess.PIPE
    )


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events").read_text().splitlines()]


def finish(folder: Path, *options: str) -> dict[str, Any]:
    with start(folder, *options) as process:
        # Its input stays open meanwhile.
        process.wait(timeout=300)
    told = events(folder)
    assert told, (folder / "log").read_text()
    return told[-1]


def test_it_learns_its_corpus_and_writes_the_adapter(tmp_path: Path, base: Path) -> None:
    folder = make_run(tmp_path, base, CORPUS, settings={"epochs": 6})
    done = finish(folder)
    assert done["type"] == "done"
    run = done["run"]
    assert run["examples"] == {"training": 6, "heldOut": 2}
    assert run["steps"] == 18
    assert run["losses"][-1]["training"] < run["losses"][0]["training"] / 2
    held_out = [point["heldOut"] for point in run["losses"] if point["heldOut"] is not None]
    assert len(held_out) == 6
    assert held_out[-1] < held_out[0]
    reader = GGUFReader(folder / "adapter.gguf")
    # Two layers of seven projections, two factors each.
    assert len(reader.tensors) == 28
    lora_b = next(t for t in reader.tensors if t.name == "blk.0.attn_q.weight.lora_b")
    assert abs(lora_b.data).max() > 0
    assert run["adapterBytes"] == (folder / "adapter.gguf").stat().st_size


def test_a_killed_run_goes_on_to_the_same_adapter(tmp_path: Path, base: Path) -> None:
    whole = make_run(tmp_path / "whole", base, CORPUS)
    assert finish(whole)["type"] == "done"
    parted = make_run(tmp_path / "parted", base, CORPUS)
    process = start(parted)
    checkpoint = parted / "checkpoint.pt"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = torch.load(checkpoint, weights_only=True)["progress"]["step"]
    assert before > 0
    done = finish(parted)
    first = next(e for e in events(parted) if e["type"] == "progress" and e["stage"] == "training")
    assert first["step"] == before
    assert len(done["run"]["losses"]) == done["run"]["steps"] == 12
    assert (parted / "adapter.gguf").read_bytes() == (whole / "adapter.gguf").read_bytes()


CAN_MOUNT = (
    shutil.which("unshare") is not None
    and subprocess.run(
        ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/tmp"], capture_output=True
    ).returncode
    == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="needs Linux with user namespaces (unshare -Urm)")
def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, base: Path
) -> None:
    """A real full disk: the checkpoint does not fit, then the adapter, not even its header."""
    # Of this rank an adapter takes a quarter of a MiB.
    given = make_run(tmp_path / "given", base, CORPUS, settings={"rank": 64})
    disk, kept = tmp_path / "disk", tmp_path / "kept"
    disk.mkdir()
    kept.mkdir()
    script = """
        tune() {
            "$python" -m netwright.tuning "$disk" 3>"$kept/$1" 2>"$kept/log" || true
            ls "$disk" >"$kept/$1.files"
        }
        mount -t tmpfs -o size=32k tmpfs "$disk"
        cp "$given"/* "$disk"
        tune checkpoint
        mount -o remount,size=64m "$disk"
        tune whole
        mv "$disk/adapter.gguf" "$kept/whole.gguf"
        head -c 64m /dev/zero >"$disk/filler" 2>/dev/null || true
        tune header
        truncate -s -40k "$disk/filler"
        tune adapter
        rm "$disk/filler"
        tune mended
        mv "$disk/adapter.gguf" "$kept/mended.gguf"
    """
    names = {"python": sys.executable, "given": given, "disk": disk, "kept": kept}
    environment = {**os.environ, **{name: str(value) for name, value in names.items()}}
    command = ["unshare", "-Urm", "bash", "-ec", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment) as process:
        # Its input stays open meanwhile.
        assert process.wait(timeout=300) == 0, (kept / "log").read_text()

    def told(name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (kept / name).read_text().splitlines()]

    for name, there in [
        ("checkpoint", ["corpus.jsonl", "run.json"]),
        ("header", ["checkpoint.pt", "corpus.jsonl", "filler", "run.json"]),
        ("adapter", ["checkpoint.pt", "corpus.jsonl", "filler", "run.json"]),
    ]:
        last = told(name)[-1]
        assert (last["type"], last["code"]) == ("failed", "disk-full")
        assert "Free some space; the run then goes on" in last["message"]
        # Nothing half-written stays.
        assert (kept / f"{name}.files").read_text().split() == there
    stages = [e["stage"] for e in told("mended") if e["type"] == "progress"]
    # What was trained is not trained again.
    assert stages == ["loading", "training", "converting"]
    assert told("mended")[-1]["run"] == {**told("whole")[-1]["run"], "peakMemoryMiB": ANY}
    assert (kept / "mended.gguf").read_bytes() == (kept / "whole.gguf").read_bytes()


@pytest.mark.skipif(not CAN_MOUNT, reason="needs Linux with user namespaces (unshare -Urm)")
def test_an_adapter_that_the_disk_does_not_take_to_its_last_byte_is_not_there(
    tmp_path: Path,
) -> None:
    """Tensors so small that numpy's own way to write them would not say that they are lost."""
    script = """
        mount -t tmpfs -o size=16k tmpfs "$disk"
        exec "$python" -c '
        import sys, torch
        from pathlib import Path
        from netwright.tuning.adapter import write_adapter
        name = "base.layers.{}.self_attn.q_proj.lora_A.weight"
        weights = {name.format(i): torch.ones(4, 64) for i in range(40)}
        try:
            write_adapter(Path(sys.argv[1]) / "adapter.gguf", weights, "qwen2", 8, (4, 2))
        except OSError as error:
            print(error.errno, *Path(sys.argv[1]).iterdir())
        ' "$disk"
    """
    environment = {**os.environ, "python": sys.executable, "disk": str(tmp_path)}
    command = ["unshare", "-Urm", "bash", "-ec", script.replace("\n        ", "\n")]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.split() == [str(errno.ENOSPC)]


def test_a_run_learns_from_one_example(tmp_path: Path, base: Path) -> None:
    run = finish(make_run(tmp_path, base, CORPUS[:1]))["run"]
    assert run["examples"] == {"training": 1, "heldOut": 0}
    assert run["steps"] == SETTINGS["epochs"]
    assert run["losses"][-1]["training"] < run["losses"][0]["training"]


def test_a_run_leaves_out_an_example_that_is_too_long(tmp_path: Path, base: Path) -> None:
    run = finish(make_run(tmp_path, base, [example("long " * 100, "x"), *CORPUS]))["run"]
    assert run["examples"] == {"training": 6, "heldOut": 2}


def test_a_base_without_a_chat_template_is_refused_with_a_remedy(tmp_path: Path) -> None:
    write_gguf(tmp_path / "base.gguf", make_model("qwen2"), "qwen2")
    failed = finish(make_run(tmp_path / "run", tmp_path / "base.gguf", CORPUS))
    assert (failed["type"], failed["code"]) == ("failed", "tuner-template")
    assert 'Set "tuner.base"' in failed["message"]


def test_a_damaged_checkpoint_is_begun_anew(tmp_path: Path, base: Path) -> None:
    folder = make_run(tmp_path, base, CORPUS)
    (folder / "checkpoint.pt").write_bytes(b"PK damaged")
    assert finish(folder)["run"]["steps"] == 12


def test_the_end_of_its_input_ends_it(tmp_path: Path, base: Path) -> None:
    process = start(make_run(tmp_path, base, CORPUS, settings={"epochs": 1000}))
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(timeout=60) == 1
    assert not (tmp_path / "adapter.gguf").exists()


def test_a_held_out_loss_that_rises_ends_it_with_the_best_weights(
    tmp_path: Path, base: Path
) -> None:
    corpus = [example(f"q{i}", f"{'xy'[i == 0]}" * 9, i == 0) for i in range(6)]
    folder = make_run(tmp_path, base, corpus, settings={"epochs": 50, "learningRate": 0.05})
    run = finish(folder)["run"]
    held_out = [point["heldOut"] for point in run["losses"] if point["heldOut"] is not None]
    assert len(held_out) < 50
    assert held_out[-1] >= min(held_out)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"maxTokens": 8}, "no-examples"),
        ({"base": "/nowhere"}, "tuner-base"),
    ],
)
def test_what_cannot_begin_says_why(
    tmp_path: Path, base: Path, changes: dict[str, Any], code: str
) -> None:
    failed = finish(make_run(tmp_path, base, CORPUS, **changes))
    assert (failed["type"], failed["code"]) == ("failed", code)


def test_an_architecture_that_is_not_covered_is_refused_by_name(tmp_path: Path, base: Path) -> None:
    config = json.loads((base / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    (tmp_path / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes())
    with pytest.raises(TuningError, match="architecture mamba") as raised:
        read_base(tmp_path)
    assert raised.value.code == "tuner-architecture"


def test_the_plan_tells_sizes_without_loading_weights(tmp_path: Path, base: Path) -> None:
    plan = finish(make_run(tmp_path, base, [*CORPUS, example("long " * 500, "x")]), "--plan")
    assert plan["type"] == "plan"
    assert plan["architecture"] == "qwen2"
    assert plan["tooLong"] == 1
    assert 0 < plan["memoryMiB"] < plan["freeMemoryMiB"]
    assert plan["obstacle"] is None


def loaded(tmp_path: Path, base: Path, **settings: Any) -> Tuner:
    folder = make_run(tmp_path, base, CORPUS, settings={"dropout": 0, **settings})
    return Tuner(*reversed_arguments(folder))


def reversed_arguments(folder: Path) -> tuple[Run, Path, list[dict[str, Any]]]:
    run, corpus = read_run(folder)
    return run, folder, corpus


def test_loss_does_not_depend_on_batches_or_on_what_is_differentiated(
    tmp_path: Path, base: Path
) -> None:
    tuner = loaded(tmp_path, base)
    examples = tuner._training
    alone = sum(float(answer_loss(tuner._model, [e], "all")) for e in examples)
    together = float(answer_loss(tuner._model, examples, "all"))
    answers = float(answer_loss(tuner._model, examples, "answer"))
    assert together == pytest.approx(alone, rel=1e-4)
    assert answers == pytest.approx(alone, rel=1e-4)


def test_gradients_of_question_and_answer_reach_every_projection(
    tmp_path: Path, base: Path
) -> None:
    for gradient in ("all", "answer"):
        tuner = loaded(tmp_path / gradient, base, gradient=gradient)
        loss = answer_loss(tuner._model, tuner._training[:2], gradient)
        loss.backward()  # type: ignore[no-untyped-call]
        reached = [n for n, w in tuner._weights.items() if w.grad is not None and w.grad.any()]
        # lora_A has no gradient while lora_B is zero.
        assert len(reached) == len(tuner._weights) / 2


def test_too_little_memory_is_an_error_with_a_remedy(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda _: 1000)
    with pytest.raises(TuningError, match="Close other programs") as raised:
        loaded(tmp_path, base)
    assert raised.value.code == "tuner-memory"


LENGTHS = [(40, 20), (60, 30)]
PLAIN, AGAIN = Fit(4, checkpointing=False, batch=1), Fit(4, checkpointing=True, batch=1)


def with_memory(monkeypatch: pytest.MonkeyPatch, outside: int, gpu: int = 0) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: outside if device == "cpu" else gpu)


def test_activations_are_computed_again_where_they_do_not_fit(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plenty = loaded(tmp_path / "plenty", base, gradient="all")
    assert plenty._fit == PLAIN
    lengths = [(len(e.question), len(e.answer)) for e in plenty._training + plenty._held_out]
    with_memory(monkeypatch, needed(plenty._run, lengths, PLAIN) - 1)
    short = loaded(tmp_path / "short", base, gradient="all")
    assert short._fit == AGAIN
    a = float(answer_loss(short._model, short._training, "all"))
    b = float(answer_loss(plenty._model, plenty._training, "all"))
    assert a == pytest.approx(b, rel=1e-4)


def test_a_run_goes_on_as_it_was_made_to_fit(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, corpus = read_run(make_run(tmp_path, base, CORPUS, settings={"gradient": "all"}))
    begun = Tuner(run, tmp_path, corpus)
    lengths = [(len(e.question), len(e.answer)) for e in begun._training + begun._held_out]
    with_memory(monkeypatch, needed(run, lengths, PLAIN) - 1)
    Tuner(run, tmp_path, corpus)._save()
    # It would fit at full speed now.
    with_memory(monkeypatch, 2**40)
    assert Tuner(run, tmp_path, corpus)._fit == AGAIN
    with_memory(monkeypatch, needed(run, lengths, AGAIN) - 1)
    with pytest.raises(TuningError, match="Close other programs"):
        Tuner(run, tmp_path, corpus)


def test_half_the_width_is_taken_where_the_faster_one_does_not_fit(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = read_run(make_run(tmp_path, base, CORPUS))
    with_memory(monkeypatch, needed(run, LENGTHS, PLAIN) - 1)
    assert fit(run, LENGTHS, ways(run, 4)).bytes_per_weight == HALF


def test_a_gpu_takes_as_many_examples_as_fit_and_4_bits_at_last(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"accumulation": 4, "gradient": "all"}
    run, _ = read_run(make_run(tmp_path, base, CORPUS, device="cuda:0", settings=settings))
    monkeypatch.setattr(memory, "has_four_bits", lambda: True)
    possible = ways(run, HALF)
    assert possible[0] == Fit(HALF, checkpointing=False, batch=4)
    assert possible[-1] == Fit(FOUR_BIT, checkpointing=True, batch=1)
    for way in possible:
        takes = needed(run, LENGTHS, way)
        # What fits is not left for what comes later and takes no less.
        first = next(other for other in possible if needed(run, LENGTHS, other) <= takes)
        with_memory(monkeypatch, 2**40, math.ceil(takes / GPU_SHARE) + 1)
        assert fit(run, LENGTHS, possible) == first
    least = min(needed(run, LENGTHS, way) for way in possible)
    # The driver says that there is as much; not all of it can be had.
    with_memory(monkeypatch, 2**40, least)
    with pytest.raises(TuningError, match="are free on cuda:0"):
        fit(run, LENGTHS, possible)
    monkeypatch.setattr(memory, "has_four_bits", lambda: False)
    assert {way.bytes_per_weight for way in ways(run, HALF)} == {HALF}


def test_weights_for_a_gpu_must_fit_the_machine_first(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_gguf(tmp_path / "base.gguf", make_model("qwen2"), "qwen2")
    folder = make_run(tmp_path / "run", tmp_path / "base.gguf", CORPUS, device="cuda:0")
    run, _ = read_run(folder)
    with_memory(monkeypatch, 4 * run.base.parameters, 2**40)
    with pytest.raises(TuningError, match="safetensors") as raised:
        fit(run, LENGTHS, ways(run, HALF))
    assert raised.value.code == "tuner-memory"
    # Those are not unpacked.
    of_folder, _ = read_run(make_run(tmp_path / "other", base, CORPUS, device="cuda:0"))
    assert fit(of_folder, LENGTHS, ways(of_folder, HALF)).bytes_per_weight == HALF


@pytest.mark.parametrize("gradient", ["all", "answer"])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_the_plan_says_that_it_fits_where_the_run_does(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch, gradient: str, device: str
) -> None:
    folder = make_run(tmp_path, base, CORPUS, device=device, settings={"gradient": gradient})
    run, _ = read_run(folder)
    told: list[dict[str, Any]] = []
    monkeypatch.setattr("netwright.tuning.__main__.emit", told.append)
    monkeypatch.setattr(memory, "has_four_bits", lambda: False)
    # As the plan takes them: by their characters.
    lengths = [(len("very" * 7 + "question 7```") // 3 + 32 + 3, 6)]
    least = min(needed(run, lengths, way) for way in ways(run, 2))
    for free in (least // 2, least * 2):
        with_memory(monkeypatch, free, free)
        plan(folder)
    assert [event["obstacle"] is None for event in told] == [False, True]
    assert "Close other programs" in told[0]["obstacle"]


def test_a_run_is_the_same_on_another_gpu_and_wherever_its_base_lies(
    tmp_path: Path, base: Path
) -> None:
    moved = tmp_path / "elsewhere" / base.name
    shutil.copytree(base, moved)

    def identity(**changes: Any) -> str:
        folder = make_run(tmp_path / "run", changes.pop("model", base), CORPUS, **changes)
        return read_run(folder)[0].identity

    here = identity(device="cuda:0")
    assert identity(device="cuda:1", model=moved) == here
    for changes in ({"device": "cpu"}, {"device": "cuda:0", "seed": 2}):
        assert identity(**changes) != here


def test_every_example_comes_once_an_epoch_with_others_of_its_length() -> None:
    examples = [Example([0] * (i % 7), [1] * (i % 5 + 1)) for i in range(70)]
    settings = Settings(**{**SETTINGS, "accumulation": 4})
    steps = steps_of(0, examples, settings, seed=3)
    assert sorted(i for step in steps for i in step) == list(range(70))
    assert steps != steps_of(1, examples, settings, seed=3)
    assert steps == steps_of(0, examples, settings, seed=3)
    spread = [
        max(examples[i].length for i in s) - min(examples[i].length for i in s) for s in steps
    ]
    assert sum(spread) / len(spread) < 3


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [schedule(step, 40) for step in range(40)]
    assert max(rates) == pytest.approx(1)
    assert rates[0] == pytest.approx(0.25)
    assert rates[-1] < 0.05


def test_failures_are_told_in_words_with_the_next_step(tmp_path: Path) -> None:
    code, message = failure(OSError(errno.ENOSPC, "No space left on device"), tmp_path)
    assert code == "disk-full"
    assert "Free some space" in message
    assert failure(MemoryError(), tmp_path)[0] == "tuner-memory"
    for said in (
        "DefaultCPUAllocator: can't allocate memory",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)",
    ):
        assert failure(RuntimeError(said), tmp_path)[0] == "tuner-memory"
    assert failure(torch.cuda.OutOfMemoryError(), tmp_path)[0] == "tuner-memory"
    assert failure(PermissionError(13, "Permission denied"), tmp_path)[0] == "tuner-files"
    assert failure(ZeroDivisionError(), tmp_path)[0] == "tuner-failed"


def test_four_bit_weights_answer_almost_as_whole_ones(tmp_path: Path, base: Path) -> None:
    pytest.importorskip("bitsandbytes")
    from netwright.tuning.base_model import load_model

    whole = load_model(read_base(base), torch.float32, torch.device("cpu"), four_bit=False)
    packed = load_model(read_base(base), torch.float32, torch.device("cpu"), four_bit=True)
    tokens = torch.arange(40)[None]
    with torch.no_grad():
        a, b = whole(tokens).logits.flatten(), packed(tokens).logits.flatten()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.7
    kinds = {type(m).__name__ for m in packed.get_decoder().layers.modules()}
    assert "Linear4bit" in kinds
    assert "Linear" not in kinds


def test_a_load_that_grows_takes_more_memory(base: Path) -> None:
    small = estimate_memory(read_base(base), Load(8, 100, 50), 2, on_gpu=False)
    large = estimate_memory(read_base(base), Load(8, 1000, 500), 2, on_gpu=False)
    assert large.needed(False) >= small.needed(False)
    assert large.activations > 9 * small.activations
    assert small.checkpointed < small.activations

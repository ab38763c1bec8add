"""Training steps: in the order of transformers' `Trainer`, and with the results of a loop that is written out."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from planner.run import TrainingRun
from profiler.measure.build import Built
from profiler.measure.steps import Trainer
from profiler.simulate.trace.trace import (
    AFTER,
    CLIP,
    EMBED,
    EVALUATION,
    LOSS_BACKWARD,
    OPTIMIZER,
    TEMPORARY,
    ZERO_GRAD,
    Window,
)
from tests.profiler.measure.small import CPU, built, quiet, run_of
from tests.support.families import model_of
from tests.support.steps import DECODER

TINY: dict[str, Any] = DECODER | {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 96}


class Watched:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.settled: list[int] = []

    def enter(self, window: Window, component: str = TEMPORARY) -> None:
        self.windows.append(window)

    def settle(self, part: int) -> None:
        self.settled.append(part)


@pytest.fixture(autouse=True)
def in_quiet() -> Iterator[None]:
    with quiet():
        yield


def run_tiny(**fields: Any) -> TrainingRun:
    return run_of(TINY, **({"method": "full", "base_dtype": "float32", "gradient_checkpointing": False} | fields))


def ready(run: TrainingRun) -> tuple[Built, Trainer]:
    torch.manual_seed(0)
    made = built(run, TINY)
    return made, Trainer(made, run, CPU)


def batches_of(model: Any) -> list[dict[str, Any]]:
    """Every batch that the model is given, once it is."""
    found: list[dict[str, Any]] = []

    def keep(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        found.append({name: x.clone() if isinstance(x, torch.Tensor) else x for name, x in kwargs.items()})

    model.register_forward_pre_hook(keep, with_kwargs=True)
    return found


# the order of calls


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the calls that make up a step, as they happen."""
    found: list[str] = []

    def noted(owner: Any, name: str, says: Callable[..., str]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)  # `Trainer` reads what arguments a model takes
        def call(*args: Any, **kwargs: Any) -> Any:
            found.append(says(*args, **kwargs))
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    noted(transformers.LlamaForCausalLM, "forward", lambda *_, **__: "forward")
    noted(torch.Tensor, "backward", lambda *_, **__: "backward")
    noted(torch.nn.utils, "clip_grad_norm_", lambda _parameters, norm, *_, **__: f"clip to {float(norm)}")
    noted(torch.optim.AdamW, "step", lambda *_, **__: "step")
    noted(torch.nn.Module, "zero_grad", lambda *_, **__: "zero_grad")
    return found


class Rows(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    def __len__(self) -> int:
        return 32

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        tokens = torch.arange(index, index + 16)
        return {"input_ids": tokens, "labels": tokens}


@pytest.mark.parametrize("fields", [{}, {"gradient_accumulation_steps": 3}, {"max_grad_norm": 0.0}], ids=str)
def test_the_order_is_that_of_trainer(fields: dict[str, Any], calls: list[str], tmp_path: Path) -> None:
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        max_steps=2,
        per_device_train_batch_size=2,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        **fields,
    )
    transformers.Trainer(model=model_of(TINY), args=arguments, train_dataset=Rows()).train()
    theirs = calls[calls.index("forward") :]
    assert theirs.count("step") == 2
    run = run_tiny(**fields)
    made, trainer = ready(run)
    calls.clear()
    for _ in range(2):
        trainer.step(Watched())
    assert calls == theirs
    del made


def test_a_plain_loop_drops_gradients_first_and_keeps_the_outputs(calls: list[str]) -> None:
    made, trainer = ready(run_tiny(trainer="plain"))
    given = batches_of(made.model)
    trainer.step(Watched())
    assert calls == ["zero_grad", "forward", "backward", "clip to 1.0", "step"]
    assert all(parameter.grad is not None for parameter in made.model.parameters())
    assert trainer._kept.logits.shape == (2, 16, 96)
    assert given[0]["use_cache"] is True


def test_trainer_drops_gradients_last_and_keeps_nothing() -> None:
    made, trainer = ready(run_tiny())
    given = batches_of(made.model)
    trainer.step(Watched())
    assert all(parameter.grad is None for parameter in made.model.parameters())
    assert trainer._kept is None
    assert given[0]["use_cache"] is False


def test_windows_of_a_step() -> None:
    _, trainer = ready(run_tiny(gradient_accumulation_steps=3))
    seen = Watched()
    trainer.step(seen)
    passes = [Window(EMBED), Window(LOSS_BACKWARD), Window(AFTER)]
    # the second micro-batch and all that follow it find the gradients of the first
    again = [window._replace(part=1) for window in passes]
    assert seen.windows == [*passes, *again, *again, Window(CLIP), Window(OPTIMIZER), Window(ZERO_GRAD)]
    assert seen.settled == [0, 1, 1]


@pytest.mark.parametrize("empties", [False, True])
def test_the_cache_is_emptied_between_steps_where_the_run_does_it(empties: bool) -> None:
    run = run_tiny(empty_cache=empties)
    emptied: list[int] = []
    trainer = Trainer(built(run, TINY), run, CPU, lambda: emptied.append(1))
    trainer.step(Watched())
    trainer.step(Watched())
    assert len(emptied) == 2 * empties


# what they compute


@pytest.mark.parametrize("fields", [{}, {"gradient_accumulation_steps": 2}, {"method": "lora", "rank": 4}], ids=str)
def test_weights_move_as_in_a_loop_that_is_written_out(fields: dict[str, Any]) -> None:
    run = run_tiny(**fields)
    made, trainer = ready(run)
    given = batches_of(made.model)
    for _ in range(3):
        trainer.step(Watched())
    other, _ = ready(run)
    trained = [parameter for parameter in other.model.parameters() if parameter.requires_grad]
    before = [parameter.detach().clone() for parameter in trained]
    adam = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.0)
    micro_batches = run.gradient_accumulation_steps
    assert len(given) == 3 * micro_batches
    for step in range(3):
        for batch in given[step * micro_batches : (step + 1) * micro_batches]:
            other.model(**batch).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        adam.step()
        adam.zero_grad()
    ours = [parameter for parameter in made.model.parameters() if parameter.requires_grad]
    assert len(ours) == len(trained)
    for parameter, same, start in zip(ours, trained, before, strict=True):
        torch.testing.assert_close(parameter, same)
        assert not torch.equal(parameter, start)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_batch_that_comes_again_is_learnt(method: str) -> None:
    fields = {"method": "full"} if method == "full" else {"method": method, "rank": 4}
    _, trainer = ready(run_tiny(**fields))
    for group in trainer.optimizer.param_groups:
        group["lr"] = 1e-2
    losses: list[float] = []
    for _ in range(20):
        torch.manual_seed(7)
        trainer.step(Watched())
        losses.append(trainer.read_loss() or math.nan)
    assert losses[0] == pytest.approx(math.log(96), abs=0.5)  # of nothing known of 96 tokens
    assert losses[-1] < 0.9 * losses[0]
    assert trainer.finite


def test_the_loss_is_read_when_it_is_asked_for() -> None:
    _, trainer = ready(run_tiny())
    assert trainer.read_loss() is None
    trainer.step(Watched())
    assert trainer.loss is None
    assert trainer.read_loss() == trainer.loss == pytest.approx(math.log(96), abs=0.5)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_is_noticed_and_stays_so(value: float) -> None:
    made, trainer = ready(run_tiny())
    trainer.step(Watched())
    assert trainer.finite
    head = made.model.lm_head.weight
    good = head.detach().clone()
    with torch.no_grad():
        head.fill_(value)
    trainer.step(Watched())
    assert not trainer.finite
    assert not math.isfinite(trainer.read_loss() or 0.0)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.nan_to_num_(0.01)
        head.copy_(good)
    trainer.optimizer.state.clear()
    trainer.step(Watched())
    assert math.isfinite(trainer.read_loss() or math.nan)
    assert not trainer.finite


def test_fp16_scales_the_loss_and_clips_what_it_has_unscaled(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_tiny(method="lora", rank=4, base_dtype="float16", mixed_precision="fp16")
    made, trainer = ready(run)
    order: list[str] = []
    scaler = torch.amp.GradScaler
    for owner, name in ((scaler, "scale"), (scaler, "unscale_"), (scaler, "step"), (scaler, "update")):
        call = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, call=call, name=name: order.append(name) or call(*args))
    norms: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(
        torch.nn.utils,
        "clip_grad_norm_",
        lambda *args: order.append("clip") or norms.append(float(clip(*args))),
    )
    before = {name: x.detach().clone() for name, x in made.model.named_parameters() if "lora_B" in name}
    given = batches_of(made.model)
    trainer.step(Watched())
    assert order == ["scale", "unscale_", "clip", "step", "update"]
    assert all(not torch.equal(x, before[name]) for name, x in made.model.named_parameters() if name in before)
    # the same gradients without a scaler
    other, _ = ready(run)
    with torch.autocast("cpu", torch.float16):
        other.model(**given[0]).loss.backward()
    gradients = [x.grad for x in other.model.parameters() if x.grad is not None]
    assert norms[0] == pytest.approx(float(torch.stack([x.norm() for x in gradients]).norm()), rel=0.05)


def test_fp16_skips_a_step_whose_gradients_overflow() -> None:
    run = run_tiny(method="lora", rank=4, base_dtype="float16", mixed_precision="fp16")
    made, trainer = ready(run)
    with torch.no_grad():
        made.model.get_base_model().lm_head.weight.fill_(math.inf)
    before = {name: x.detach().clone() for name, x in made.model.named_parameters() if x.requires_grad}
    trainer.step(Watched())
    assert not trainer.finite
    assert all(torch.equal(x, before[name]) for name, x in made.model.named_parameters() if name in before)


@pytest.mark.parametrize(("precision", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16)])
def test_products_are_in_the_dtype_of_autocast(precision: str, dtype: torch.dtype) -> None:
    made, trainer = ready(run_tiny(mixed_precision=precision))
    dtypes: list[torch.dtype] = []
    made.layers[0].mlp.up_proj.register_forward_hook(lambda _module, _args, out: dtypes.append(out.dtype))
    trainer.step(Watched())
    assert dtypes == [dtype]


# batches


@pytest.mark.parametrize("sequences", [1, 3])
@pytest.mark.parametrize("packing", [False, True])
def test_batches(sequences: int, packing: bool) -> None:
    made, trainer = ready(run_tiny(micro_batch_size=sequences, packing=packing))
    given = batches_of(made.model)
    trainer.step(Watched())
    [batch] = given
    tokens, labels = batch["input_ids"], batch["labels"]
    assert tokens.shape == (sequences, 16) and tokens.dtype == torch.long
    assert torch.equal(tokens, labels) and tokens.min() >= 0 and tokens.max() < 96 and len(tokens.unique()) > 5
    if packing:
        assert "attention_mask" not in batch
        return
    padding = (batch["attention_mask"] == 0).nonzero().tolist()
    # the first is as long as the batch
    assert padding == [[row, 15] for row in range(1, sequences)]


def test_every_step_has_other_tokens() -> None:
    made, trainer = ready(run_tiny())
    given = batches_of(made.model)
    trainer.step(Watched())
    trainer.step(Watched())
    assert not torch.equal(given[0]["input_ids"], given[1]["input_ids"])


def test_an_evaluation() -> None:
    made, trainer = ready(run_tiny(eval_batch_size=5))
    seen = Watched()
    given = batches_of(made.model)
    modes: list[tuple[bool, bool]] = []
    made.layers[0].register_forward_hook(
        lambda module, _args, _out: modes.append((module.training, torch.is_grad_enabled()))
    )
    trainer.evaluate(seen)
    assert seen.windows == [Window(EMBED, None, EVALUATION), Window(AFTER, None, EVALUATION)]
    assert given[0]["input_ids"].shape == (5, 16)
    assert modes == [(False, False)]
    assert made.model.training

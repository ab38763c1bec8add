"""Real trainings of tiny models on the CPU, and a stand-in for a card with an allocator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

from profiler.measure.device.base import AllocatorLevels
from profiler.measure.types import MeasuredDevice

VOCABULARY = 128


class Samples(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Samples of the given lengths."""

    def __init__(self, *lengths: int) -> None:
        self.lengths = lengths
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        self.reads.append(index)
        tokens = torch.arange(self.lengths[index]) % VOCABULARY
        return {"input_ids": tokens, "labels": tokens, "attention_mask": torch.ones_like(tokens)}


def padded(samples: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """A batch, as long as its longest sample."""
    return {
        name: torch.nn.utils.rnn.pad_sequence([sample[name] for sample in samples], batch_first=True)
        for name in samples[0]
    }


def tiny_model(**adapter: Any) -> Any:
    """A Llama of two layers; with an adapter where one is described."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4096,
    )
    model = LlamaForCausalLM(config)
    return peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **adapter)) if adapter else model


def named(model: Any, folder: Path) -> Any:
    """The model as if it had been loaded from a folder with its config."""
    model.config.save_pretrained(folder / "model")
    model.config._name_or_path = str(folder / "model")
    return model


def arguments(folder: Path, **changes: Any) -> TrainingArguments:
    """Arguments of a short training in the order of the data."""
    given: dict[str, Any] = {
        "per_device_train_batch_size": 1,
        "max_steps": 3,
        "train_sampling_strategy": "sequential",
        "report_to": [],
        "save_strategy": "no",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_steps": 1,
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(output_dir=str(folder / "out"), **(given | changes))


def trainer(model: Any, folder: Path, samples: Any, callback: TrainerCallback, **changes: Any) -> Trainer:
    """A `Trainer` of a model on samples."""
    return Trainer(
        model, arguments(folder, **changes), train_dataset=samples, data_collator=padded, callbacks=[callback]
    )


class StandIn:
    """A card whose allocator says what the test has it say. It stands in for `profiler.measure.device.base.Device`."""

    def __init__(self, *, gpu: str | None = None, usable: int = 2**40, peak: int = 10**9, held: int = 10**9) -> None:
        self.kind = "cuda"
        self.torch_device = torch.device("cpu")
        self.resets = 0
        self.peak, self.held = peak, held
        self._gpu, self._usable = gpu, usable

    def described(self) -> MeasuredDevice:
        return MeasuredDevice(
            kind="cuda",
            name="Stand-in",
            gpu=self._gpu,
            memory_bytes=max(self._usable, 2**30),
            free_bytes=self._usable,
            usable_bytes=self._usable,
            driver="580.95.05",
            runtime="CUDA 13.0",
            compute_capability="8.0",
        )

    def allocator(self) -> AllocatorLevels:
        return AllocatorLevels(self.held, self.held, self.peak, self.peak, retries=0)

    def reset_peaks(self) -> None:
        self.resets += 1

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, torch.OutOfMemoryError)

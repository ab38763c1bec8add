"""What a simulation says that it leaves out."""

from __future__ import annotations

import pytest

from planner.catalogue import find_gpu
from planner.run import TrainingRun
from profiler.simulate.approximations import approximations


@pytest.mark.parametrize(
    ("fields", "gpu", "words"),
    [
        ({"quantization": "nf4"}, None, "4-bit weights are expanded"),
        ({"quantization": "int8"}, None, "outliers"),
        ({"optimizer": "paged_adamw_8bit"}, None, "pages stay in host memory"),
        ({"attention": "sdpa"}, "h100", "cuDNN"),
        ({"attention": "flash_attention_3"}, None, "flash attention 3 is shown as 2"),
        ({"attention": "flash_attention_2", "micro_batch_size": 2}, None, "as if every token were real"),
        ({"base_dtype": "float16"}, None, "gradient scaler"),
        ({"checkpoint_offload": True}, None, "one stream"),
    ],
)
def test_what_is_left_out_is_said_where_it_matters(fields: dict[str, object], gpu: str | None, words: str) -> None:
    card = find_gpu(gpu).gpu if gpu else None
    plain = TrainingRun(model="llama-3.1-8b", mixed_precision="no", attention="eager")
    assert any(words in text for text in approximations(TrainingRun(model="llama-3.1-8b", **fields), card))
    assert not any(words in text for text in approximations(plain, find_gpu("a100-80").gpu))

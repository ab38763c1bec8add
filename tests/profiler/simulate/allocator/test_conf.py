"""PYTORCH_ALLOC_CONF, as PyTorch reads it."""

from __future__ import annotations

import pytest
import torch

from planner.errors import Abstention, InputError
from planner.units import MIB
from profiler.simulate.allocator import AllocatorSettings, parse_allocator_conf


def test_nothing_is_the_default():
    assert parse_allocator_conf("") == AllocatorSettings()
    assert parse_allocator_conf("backend:native,pinned_use_background_threads:True") == AllocatorSettings()


def test_all_that_counts():
    settings = parse_allocator_conf(
        "expandable_segments:True, max_split_size_mb:128, garbage_collection_threshold:0.8,"
        "per_process_memory_fraction:0.9, max_non_split_rounding_mb:30, large_segment_size_mb:24,"
        "roundup_power2_divisions:8"
    )
    assert settings == AllocatorSettings(
        expandable_segments=True,
        max_split_size_mb=128,
        garbage_collection_threshold=0.8,
        per_process_memory_fraction=0.9,
        max_non_split_rounding_mb=30,
        large_segment_size_mb=24,
        roundup_power2_divisions=8,
    )
    assert settings.max_split_size == 128 * MIB
    assert settings.divisions == (8,) * 16


def test_divisions_by_size():
    # The example in PyTorch's documentation; 2**6, 2**7, 2**8, 2**9, 2**10 MiB are intervals 6 to 10
    settings = parse_allocator_conf("roundup_power2_divisions:[64:8,128:2,256:4,512:2,1024:4,>:1]")
    assert settings.divisions == (8, 8, 8, 8, 8, 8, 8, 2, 4, 2, 4, 1, 1, 1, 1, 1)


def test_divisions_for_one_size_hold_below_it_too():
    assert parse_allocator_conf("roundup_power2_divisions:[2:4]").divisions == (4, 4, *(0,) * 14)


def test_slack_is_a_large_segment_unless_given():
    assert AllocatorSettings().max_non_split_rounding == 20 * MIB
    assert AllocatorSettings(large_segment_size_mb=32).max_non_split_rounding == 32 * MIB


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_split_size:128", "did you mean 'max_split_size_mb'?"),
        ("max_split_size_mb:10", "give at least 20 MiB"),
        ("max_split_size_mb:-1", "give a whole number"),
        ("max_split_size_mb", "write key:value pairs"),
        ("max_split_size_mb:128;expandable_segments:True", "write key:value pairs"),
        ("expandable_segments:true", "give True or False"),
        ("garbage_collection_threshold:80%", "give a number between 0 and 1"),
        ("garbage_collection_threshold:1.5", "give a number between 0 and 1"),
        ("garbage_collection_threshold:nan", "give a number between 0 and 1"),
        ("per_process_memory_fraction:1.5", "above 0 and at most 1"),
        ("per_process_memory_fraction:0", "give a number between 0 and 1"),
        ("large_segment_size_mb:10", "give more than 10"),
        ("roundup_power2_divisions:3", "a power of 2"),
        ("roundup_power2_divisions:[3:4]", "give powers of 2"),
        ("roundup_power2_divisions:[4]", "give a whole number"),
        ("roundup_power2_divisions:0", "leave it out"),
        ("garbage_collection_threshold:0", "give a number between 0 and 1"),
        ("backend:mine", "give native or cudaMallocAsync"),
        ("a" * 10000, "write key:value pairs"),
    ],
)
def test_refusals_are_one_sentence(text: str, said: str):
    with pytest.raises(InputError) as error:
        parse_allocator_conf(text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_drivers_own_pool_is_not_simulated():
    with pytest.raises(Abstention, match="drop backend:cudaMallocAsync"):
        parse_allocator_conf("backend:cudaMallocAsync")


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("", True),
        ("max_split_size_mb:20", True),
        ("max_split_size_mb:19", False),
        ("large_segment_size_mb:11", True),
        ("large_segment_size_mb:10", False),
        ("large_segment_size_mb:30,max_split_size_mb:29", False),
        ("large_segment_size_mb:30,max_non_split_rounding_mb:29", False),
        ("max_split_size_mb : 128, expandable_segments:False,", True),
        ("expandable_segments:1", False),
        ("roundup_power2_divisions:16", True),
        ("roundup_power2_divisions:0", False),
        ("roundup_power2_divisions:6", False),
        ("roundup_power2_divisions:[1:0,2:1,4:2,>:8]", True),
        ("roundup_power2_divisions:[]", True),
        ("roundup_power2_divisions:[6:4]", False),
        ("roundup_power2_divisions:[4:6]", False),
        ("garbage_collection_threshold:0.99", True),
        ("garbage_collection_threshold:0", False),
        ("garbage_collection_threshold:1", False),
        ("pinned_max_round_threshold_mb:4", True),
    ],
)
def test_torch_accepts_and_refuses_the_same(text: str, accepted: bool):
    try:
        torch._C._accelerator_setAllocatorSettings(text)
        torch_accepts = True
    except (ValueError, RuntimeError):
        torch_accepts = False
    finally:
        torch._C._accelerator_setAllocatorSettings("large_segment_size_mb:20,expandable_segments:False")
    assert torch_accepts == accepted
    if accepted:
        parse_allocator_conf(text)
    else:
        with pytest.raises(InputError):
            parse_allocator_conf(text)

"""`optimizer`: a class of torch's or bitsandbytes' and its arguments."""

from __future__ import annotations

from planner.trainer_configs.reader import Reader, is_off

KEY = "optimizer._component_"

TORCH = {
    "torch.optim.AdamW": "adamw_torch",
    "torch.optim.Adam": "adamw_torch",
    "torch.optim.SGD": "sgd",
    "torch.optim.Adagrad": "adagrad",
    "torch.optim.RMSprop": "rmsprop",
}
"""Class -> the optimizer of a run that keeps as much: Adam's states are AdamW's."""

BITSANDBYTES = {
    "AdamW8bit": "adamw_bnb_8bit",
    "Adam8bit": "adamw_bnb_8bit",
    "PagedAdamW": "paged_adamw_32bit",
    "PagedAdamW32bit": "paged_adamw_32bit",
    "PagedAdam": "paged_adamw_32bit",
    "PagedAdam32bit": "paged_adamw_32bit",
    "PagedAdamW8bit": "paged_adamw_8bit",
    "PagedAdam8bit": "paged_adamw_8bit",
    "Lion": "lion_32bit",
    "Lion32bit": "lion_32bit",
    "Lion8bit": "lion_8bit",
    "PagedLion": "paged_lion_32bit",
    "PagedLion32bit": "paged_lion_32bit",
    "PagedLion8bit": "paged_lion_8bit",
    "RMSprop": "rmsprop_bnb",
    "RMSprop32bit": "rmsprop_bnb_32bit",
    "RMSprop8bit": "rmsprop_bnb_8bit",
    "AdEMAMix": "ademamix",
    "AdEMAMix32bit": "ademamix",
    "AdEMAMix8bit": "ademamix_8bit",
    "PagedAdEMAMix": "paged_ademamix_32bit",
    "PagedAdEMAMix32bit": "paged_ademamix_32bit",
    "PagedAdEMAMix8bit": "paged_ademamix_8bit",
}
"""Class of bitsandbytes.optim (0.50) -> the optimizer of a run that it is in transformers."""

_MOVES = {
    "amsgrad": "AMSGrad keeps a third state",
    "momentum": "momentum keeps a state as large as what is trained",
    "centered": "a centered RMSprop keeps one more state",
    "differentiable": "a differentiable step keeps its intermediate results",
    "is_paged": "the states leave the GPU under pressure",
    "min_8bit_size": "tensors below this size keep 32-bit states, and are planned to below 4,096",
    "percentile_clipping": "the norms of past gradients are kept",
}
_HARMLESS = (
    *("lr", "betas", "eps", "weight_decay", "alpha", "lr_decay", "initial_accumulator_value", "dampening", "nesterov"),
    *("maximize", "capturable", "decoupled_weight_decay", "t_alpha", "t_beta3", "max_unorm", "block_wise"),
)
"""Arguments of those classes that change numbers, and no tensor's size."""


def read_optimizer(reader: Reader) -> None:
    """Take everything under `optimizer`; a class that no run has is passed on as it is written."""
    name = reader.text(KEY)
    if name is not None:
        _read_class(reader, name)
    reader.moves({f"optimizer.{argument}": why for argument, why in _MOVES.items()})
    reader.ignores(*(f"optimizer.{argument}" for argument in _HARMLESS))


def _read_class(reader: Reader, name: str) -> None:
    planned = TORCH.get(name) or BITSANDBYTES.get(name.removeprefix("bitsandbytes.optim."), name)
    fused = bool(reader.flag("optimizer.fused"))
    if planned == "adamw_torch" and fused:
        reader.becomes(KEY, optimizer="adamw_torch_fused")
        reader.becomes("optimizer.fused", optimizer="adamw_torch_fused")
    else:
        reader.becomes(KEY, optimizer=planned)
        reader.ignores("optimizer.fused")
    if planned.endswith("_8bit") and "paged" not in planned and reader.gives("method") == "full":
        reader.uncounted(
            KEY, "the embeddings' states have 8 bits too, and are planned with the 32 that Trainer gives them"
        )
    foreach = "optimizer.foreach"
    if reader.has(foreach) and not reader.flag(foreach) and not fused:
        reader.uncounted(foreach, "the step goes tensor by tensor, and is planned with copies of all at once")
    reader.ignores(foreach)
    bits = "optimizer.optim_bits"
    if reader.has(bits) and not is_off(reader.raw(bits)) and reader.whole(bits) != 32:
        reader.uncounted(bits, "the states have another width than the class is planned with")
    reader.ignores(bits)

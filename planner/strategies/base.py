"""What a strategy is: the interface, with the answers of one GPU by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.run import TrainingRun

if TYPE_CHECKING:
    from planner.architecture.modules import Architecture, Block
    from planner.memory.blocks import BlockProfile
    from planner.memory.ends import HeadProfile, StartProfile
    from planner.memory.weights import BaseWeights
    from planner.methods.counting import TrainableSummary


class Strategy:
    """How several GPUs share a run. Sizes are in bytes on one GPU."""

    shards = False
    """Whether each GPU keeps a share of weights, gradients and optimizer states, instead of all of them."""

    def check(self, architecture: Architecture, run: TrainingRun) -> None:
        """Raise `Abstention` for a run of which the strategy's memory is not known."""

    def stored(self, run: TrainingRun) -> TrainingRun:
        """The run with the dtypes in which its parameters are kept from step to step."""
        return run

    def computed(self, run: TrainingRun) -> TrainingRun:
        """The run with the dtypes in which its forward pass meets its parameters."""
        return run

    def weights(self, architecture: Architecture, run: TrainingRun, whole: BaseWeights) -> BaseWeights:
        """What one GPU keeps of the base model; run: the stored one."""
        return whole

    def trained(self, architecture: Architecture, run: TrainingRun, whole: TrainableSummary) -> TrainableSummary:
        """What one GPU keeps of everything trained, in the tensors that its optimizer steps; run: the stored one."""
        return whole

    def buckets(self, trained: TrainableSummary) -> int:
        """Buffers that gradients are communicated in, alive all along beside the gradients themselves."""
        return 0

    def pools(self, architecture: Architecture, run: TrainingRun, trained: TrainableSummary) -> int:
        """What the allocator comes to hold for streams that the strategy has beside the computation's.

        Memory of one stream serves no other (`CUDACachingAllocator.cpp`).
        """
        return 0

    def gathered(self, architecture: Architecture, run: TrainingRun, block: Block | None) -> int:
        """What is gathered from the other GPUs while a block is at work; None: what is outside the blocks."""
        return 0

    def ends(
        self, architecture: Architecture, run: TrainingRun, start: StartProfile, head: HeadProfile
    ) -> tuple[StartProfile, HeadProfile]:
        """What lies before and after the blocks, with what the strategy allocates there."""
        return start, head

    def block(self, architecture: Architecture, run: TrainingRun, block: Block, profile: BlockProfile) -> BlockProfile:
        """A block's passes, with what the strategy allocates around them."""
        return profile

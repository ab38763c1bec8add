"""The tape: which buffers live when, and the graph that says what the backward pass keeps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from planner.tape.size import ONE, ZERO, Size
from planner.tape.tensor import Storage, Tensor
from planner.tape.work import ATTENTION, MATRIX, Meter, Product
from planner.units import DTYPE_BYTES

Gradient = Tensor | None
Backward = Callable[..., "tuple[Gradient, ...]"]
"""Takes the gradients of a node's outputs, gives those of its inputs (None where none is needed)."""

Reduce = Callable[["list[Gradient]"], None]
"""Sums and casts, in place, the gradients a node gave to the shapes and dtypes of its inputs (`validate_outputs`)."""

SAVED = "saved_activations"
TEMPORARY = "temporaries"
GRADIENT = "gradients"

DEQUANTIZED = "dequantized weight"
"""What the buffer of an expanded weight is called."""


class Node:
    """One operation of the graph: where its input gradients go, and how they come about.

    The `backward` function closes over the tensors autograd saves, and over nothing else that owns
    memory: dropping it is what frees them.
    """

    __slots__ = ("backward", "edges", "outputs", "parameter", "reduce", "saves")

    def __init__(
        self, edges: list[tuple[Node, int] | None], backward: Backward | None, outputs: int, parameter: str
    ) -> None:
        self.edges = edges
        self.backward = backward
        self.outputs = outputs
        self.parameter = parameter
        self.reduce: Reduce | None = None
        self.saves = False
        """Whether it saved anything, which recomputation has to bring back before it runs."""


class Tape:
    """Records the buffers and the graph of one program.

    autocast: dtype of `torch.autocast`, or None outside it.
    accumulating: gradients of parameters exist already, so new ones are added to them and freed.
    training: whether dropout is on and the graph is recorded.
    batch, sequence: of the run, for what an operation does by them that no polynomial says; within one regime
    (`planner.memory.regime`) they must not matter otherwise.
    """

    def __init__(
        self,
        *,
        autocast: str | None = None,
        accumulating: bool = False,
        training: bool = True,
        batch: int = 1,
        sequence: int = 1,
    ) -> None:
        self.autocast = autocast
        self.accumulating = accumulating
        self.training = training
        self.batch = batch
        self.sequence = sequence
        self.grad_enabled = training
        self.scope = ""
        self.sizes: list[Size] = []
        self.labels: list[str] = []
        self.shapes: list[tuple[Size, int, str]] = []
        self._places: list[int] = []
        """`Meter.place` before each buffer was made."""
        self.events: list[int] = []
        """Buffer i + 1 where one is allocated, -(i + 1) where it is freed."""
        self.saved: dict[int, str] = {}
        self.last_save = 0
        """Position in `events` of the last operation that saved something."""
        self.last_save_place = 0
        """The same of the work: `Meter.place` before that operation, or after it where it saves its result."""
        self.unpacks_once = False
        """Whether a node's saved tensors are its own only while it runs, as those are that a checkpoint of the
        non-reentrant kind has recomputed."""
        self.first_unpack: int | None = None
        """Position in `events` at which the backward pass first needed something saved."""
        self.gradients: set[int] = set()
        self.casts: dict[str, Tensor] = {}
        """Autocast's cache of 16-bit copies of trainable float32 parameters, alive until autocast ends."""
        self.parameter_gradients: dict[str, Tensor] = {}
        self.tied: frozenset[str] = frozenset()
        """Parameters with a second use elsewhere, for whose gradient the one of this use waits."""
        self.embeddings_require_grad = False
        """Whether the input embedding's output is made to require grad (`enable_input_require_grads`)."""
        self.leaves: list[Tensor] = []
        """Results that were made to require grad: the graph holds such a leaf as long as it lives."""
        self.keeps_contexts = training
        """Whether the `ctx` of Python autograd functions outlives the pass: a non-reentrant checkpoint
        records its graph although it saves nothing, a reentrant one does not."""
        self.contexts: list[Storage] = []
        """What those functions keep on their `ctx`, for as long as the graph exists."""
        self._on_context: set[int] = set()
        self._nodes: list[Node] = []
        self.input_gradients: list[Tensor] = []
        """Gradients of the inputs from outside, after a backward pass."""
        self.meter = Meter()

    # -- buffers ---------------------------------------------------------------------------------

    def allocated(self, size: Size, label: str) -> int:
        """Note a new buffer of `size` bytes; its index."""
        index = len(self.sizes)
        self._places.append(self.meter.place)
        self.sizes.append(size)
        self.labels.append(label)
        self.events.append(index + 1)
        return index

    def freed(self, index: int) -> None:
        """Note that buffer `index` is free."""
        self.events.append(-index - 1)

    def new(self, rows: Size, cols: int, dtype: str, op: str) -> Tensor:
        """A new tensor with a buffer of its own, outside the graph. `op` names it in tables."""
        tensor = Tensor(self, rows, cols, dtype)
        self.shapes.append((rows, cols, dtype))
        tensor.storage = Storage(self, tensor.size, f"{self.scope}: {op}" if self.scope else op)
        self.meter.wrote(tensor.size, dequantized=op == DEQUANTIZED)
        return tensor

    def multiplies(self, rows: Size, inner: int, cols: int, dtype: str, *, in_place: bool = False) -> None:
        """The buffer made last is a product of `rows` x `inner` and `inner` x `cols`; in_place: it went into an older
        one."""
        width = DTYPE_BYTES[dtype]
        moved = rows.times((inner + cols) * width).plus(ONE.times(inner * cols * width))
        self.meter.product(Product(MATRIX, rows.times(2 * inner * cols), moved, dtype), filled=not in_place)

    def sums_products(self, inner: Size, rows: int, cols: int, dtype: str) -> None:
        """The buffer made last is a product of `rows` x `inner` and `inner` x `cols`: a sum over tokens."""
        width = DTYPE_BYTES[dtype]
        moved = inner.times((rows + cols) * width).plus(ONE.times(rows * cols * width))
        self.meter.product(Product(MATRIX, inner.times(2 * rows * cols), moved, dtype))

    def rewrites(self, size: Size) -> None:
        """A kernel writes `size` bytes into buffers that there are already."""
        self.meter.wrote(size)

    def attends(self, flops: Size, moved: Size, dtype: str, window: int | None) -> None:
        """An attention kernel, which has no buffer of its own."""
        self.meter.product(Product(ATTENTION, flops, moved, dtype, window), filled=False)

    @contextmanager
    def module(self, name: str) -> Generator[None]:
        """Name the module whose operations follow, for the labels of buffers."""
        before, self.scope = self.scope, name
        try:
            yield
        finally:
            self.scope = before

    # -- the graph -------------------------------------------------------------------------------

    def record(
        self,
        outputs: Iterable[Tensor],
        inputs: Iterable[Tensor | None],
        backward: Backward,
        saved: Iterable[Tensor],
        reduce: Reduce | None = None,
    ) -> None:
        """Put an operation into the graph: `backward` runs it in reverse and needs `saved`.

        reduce: what follows once `backward` is through, for operands that were broadcast or promoted.
        """
        edges = [
            (tensor.node, tensor.output) if tensor is not None and tensor.requires_grad and tensor.node else None
            for tensor in inputs
        ]
        outs = list(outputs)
        node = Node(edges, backward, len(outs), "")
        node.reduce = reduce
        self._nodes.append(node)
        for position, tensor in enumerate(outs):
            tensor.requires_grad = True
            tensor.node = node
            tensor.output = position
        kept = list(saved)
        for tensor in kept:
            if tensor.storage is not None:
                self.saved.setdefault(tensor.storage.index, self.scope)
        if kept:
            node.saves = True
            # inputs are saved before the operator runs, results after
            result = outs[0].storage
            if result is None or any(tensor.storage is result for tensor in kept):
                self.last_save, self.last_save_place = len(self.events), self.meter.place
            else:
                self.last_save = self.events.index(result.index + 1)
                self.last_save_place = self._places[result.index]

    def keep_on_context(self, tensor: Tensor) -> None:
        """A Python autograd function puts its input on `ctx` instead of `save_for_backward`.

        Neither the end of its backward pass nor a checkpoint frees it then.
        """
        if tensor.storage is None or (self.grad_enabled and not tensor.requires_grad):
            return
        if self.keeps_contexts and tensor.storage not in self.contexts:
            self.contexts.append(tensor.storage)
            self._on_context.add(tensor.storage.index)

    def records(self, *inputs: Tensor | None) -> bool:
        """Whether an operation on `inputs` is recorded in the graph."""
        return self.grad_enabled and any(tensor is not None and tensor.requires_grad for tensor in inputs)

    def input(self, rows: Size, cols: int, dtype: str, *, requires_grad: bool) -> Tensor:
        """A tensor that comes from outside: the output of the block before."""
        tensor = self.new(rows, cols, dtype, "input")
        tensor.requires_grad = requires_grad
        if requires_grad:
            tensor.node = Node([], None, 1, "")
        return tensor

    def leaf(self, tensor: Tensor) -> None:
        """`tensor.requires_grad_()`"""
        tensor.requires_grad = True
        tensor.node = Node([], None, 1, "")
        self.leaves.append(tensor)

    def parameter(self, name: str, rows: int, cols: int, dtype: str, *, requires_grad: bool) -> Tensor:
        """A parameter: its memory is counted with the weights, its gradient here."""
        tensor = Tensor(self, ONE.times(rows), cols, dtype, requires_grad=requires_grad)
        if requires_grad:
            tensor.node = Node([], None, 1, name)
        return tensor

    def backward(self, root: Node | None, output: int, gradients: list[Tensor]) -> None:
        """Run the graph in reverse from output `output` of node `root`, freeing as PyTorch does.

        gradients: a list with the gradient of that output, which is taken out of it: nothing but the graph may
        hold it.
        """
        if root is None:
            return
        pending: dict[tuple[int, int], Tensor] = {(id(root), output): gradients.pop()}
        while self._nodes:
            node = self._nodes.pop()
            grads = [pending.pop((id(node), position), None) for position in range(node.outputs)]
            if node.backward is None or all(grad is None for grad in grads):
                continue
            if node.saves and self.first_unpack is None:
                self.first_unpack = len(self.events)
            results = list(node.backward(*grads))
            if self.unpacks_once:
                node.backward = None
            if node.reduce is not None:
                node.reduce(results)
            # autograd frees what the node saved before it hands the gradients on
            grads.clear()
            node.backward = None
            for edge, result in zip(node.edges, results, strict=True):
                if edge is not None and result is not None:
                    self._hand_on(pending, edge, result)
            result = None
            results.clear()
        self.input_gradients.extend(pending.values())

    def _hand_on(self, pending: dict[tuple[int, int], Tensor], edge: tuple[Node, int], gradient: Tensor) -> None:
        node, output = edge
        if node.parameter:
            self._accumulate(node.parameter, gradient)
            return
        key = (id(node), output)
        before = pending.get(key)
        if before is None:
            pending[key] = gradient
        elif not _exclusive(before):
            # InputBuffer::accumulate adds in place only into a buffer that nobody else holds
            pending[key] = self.new(before.rows, before.cols, before.dtype, "gradient sum")

    def _accumulate(self, name: str, gradient: Tensor) -> None:
        if gradient.storage is None or (self.accumulating and name not in self.tied):
            return
        if name not in self.parameter_gradients:
            self.gradients.add(gradient.storage.index)
            self.parameter_gradients[name] = gradient

    # -- reading it ------------------------------------------------------------------------------

    def peaks(self, start: int, stop: int, *, since: int | None = None) -> list[dict[str, Size]]:
        """The largest ledgers (component -> bytes) between positions `since` and `stop` of `events`.

        Only buffers allocated after `start` (which `since` defaults to) count. None of the ledgers returned
        is smaller than another for every batch and sequence length.
        """
        since = start if since is None else since
        counted: set[int] = set()
        best: list[tuple[Size, int]] = []
        constant = batch = sequence = tokens = scores = 0.0
        grown = False
        for position, event in enumerate(self.events[start:stop], start):
            index = abs(event) - 1
            if position == since or (grown and event < 0):
                _keep_largest(best, Size(constant, batch, sequence, tokens, scores), position)
                grown = False
            size = self.sizes[index]
            if event > 0:
                counted.add(index)
                grown = position >= since
                constant += size[0]
                batch += size[1]
                sequence += size[2]
                tokens += size[3]
                scores += size[4]
            elif index in counted:
                constant -= size[0]
                batch -= size[1]
                sequence -= size[2]
                tokens -= size[3]
                scores -= size[4]
        if grown or not best:
            _keep_largest(best, Size(constant, batch, sequence, tokens, scores), stop)
        return [self.alive(start, position) for _, position in best]

    def largest_moment(self, batch: int, sequence: int) -> list[int]:
        """The buffers alive when most bytes are, for one batch and sequence length."""
        live: dict[int, float] = {}
        most, best = 0.0, list[int]()
        for event in self.events:
            if event > 0:
                live[event - 1] = self.sizes[event - 1].at(batch, sequence)
            elif live.pop(-event - 1, None) is None:
                continue
            if event > 0 and sum(live.values()) > most:
                most, best = sum(live.values()), list(live)
        return best

    def alive(self, start: int, stop: int) -> dict[str, Size]:
        """What was allocated after `start` and is still there at `stop`, by component."""
        indices: set[int] = set()
        for event in self.events[start:stop]:
            if event > 0:
                indices.add(event - 1)
            else:
                indices.discard(-event - 1)
        ledger: dict[str, Size] = {}
        for index in indices:
            component = self.component(index)
            ledger[component] = ledger.get(component, ZERO).plus(self.sizes[index])
        return ledger

    def is_saved(self, tensor: Tensor) -> bool:
        """Whether autograd keeps the buffer of `tensor` for the backward pass."""
        return tensor.storage is not None and tensor.storage.index in self.saved

    def component(self, index: int) -> str:
        """What buffer `index` is for."""
        if index in self.gradients:
            return GRADIENT
        return SAVED if index in self.saved or index in self._on_context else TEMPORARY


def _keep_largest(best: list[tuple[Size, int]], size: Size, position: int) -> None:
    if any(other.dominates(size) for other, _ in best):
        return
    best[:] = [pair for pair in best if not size.dominates(pair[0])]
    best.append((size, position))


def _exclusive(tensor: Tensor) -> bool:
    # held by: the table of pending gradients, the caller's variable, this one, getrefcount's own
    return sys.getrefcount(tensor) <= 4 and (tensor.storage is None or sys.getrefcount(tensor.storage) <= 2)

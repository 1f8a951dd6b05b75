"""A step as one compiled graph: views, loss, gradient, optimiser and state."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ssl_zoo.batch import Batch, Step
from ssl_zoo.errors import one_line
from ssl_zoo.ranks import ranks
from ssl_zoo.seeds import seed_global
from ssl_zoo.train.compile import compiled, needs_compiler
from ssl_zoo.train.kept import Kept
from ssl_zoo.train.optimizer import has_state

if TYPE_CHECKING:  # they make it
    from ssl_zoo.train.steps import Steps

READS = {"item", "tolist", "numpy", "__array__", "__bool__", "__int__", "__float__", "__index__", "__contains__"}


class StepGraph:
    """Makes whole steps by a graph that is recorded from one of them, and compiled. On a GPU it is replayed.

    What is recorded is every operation on tensors, so what Python does between them is done once: a number that it
    changes from step to step would stay as it was. So a step is recorded twice and compared, and Python may not read a
    tensor. Where the two differ, an operation cannot be recorded, or the graph cannot be compiled, less goes into the
    graph, and a line says why: without the views, then the loss alone, then nothing.

    Args:
        steps: Of a run.

    Raises:
        InputError: Nothing can be compiled on this machine.
    """

    def __init__(self, steps: "Steps"):
        needs_compiler(steps.device)
        self.steps = steps
        self.loss: Callable[..., Any] | None = None  # compiled alone, where no graph is made
        self.seconds: float | None = None  # that recording and compiling took, with the step
        self._run: Callable[..., Sequence[Tensor]] | None = None
        self._trials = 3 if steps.device.type == "cuda" else 1  # steps until it is known to work: as a CUDA graph from the second
        self._names: list[str] = []  # of what it returns
        # whether views are in the graph: of a bilinear warp the compiler makes slower code on a CPU than torch has
        self.views = steps.device.type == "cuda"
        self._why_not = ""  # why the loss alone is compiled, where that is known from the start
        if steps.settings.on_nan == "skip":
            self._why_not = "with `on_nan=skip` a step looks at its gradient before it goes on"
        elif ranks() > 1:
            self._why_not = "several processes share a run"

    def __call__(self, step: int, seed: int, rates: Sequence[float]) -> dict[str, Tensor] | None:
        """Make a step and return its loss and terms, or do nothing and return None.

        Args:
            step: Its number, from 0.
            seed: Of torch's global generators.
            rates: The learning rates of the optimiser's groups.
        """
        if self._run is not None and not self._trials:
            return self._made(self._run, self._inputs(step, rates), seed)
        if self._why_not and self.loss is None:
            self._alone(self._why_not)
        # by the optimiser's state alone: a run that resumes makes the same steps so as one that was never ended
        if self.loss is not None or not has_state(self.steps.optimizer):
            return None
        with self.steps.compiling():
            return self._tried(step, seed, rates)

    def _tried(self, step: int, seed: int, rates: Sequence[float]) -> dict[str, Tensor] | None:
        """Make a step by a graph that may not work, or leave all as it was."""
        began = time.perf_counter()
        while self.loss is None:
            kept = None
            try:
                inputs, kept = self._inputs(step, rates), Kept(self.steps)
                self._run = self._run or self._recorded(inputs, seed, kept)
                terms = self._made(self._run, inputs, seed)
            except Exception as error:  # whatever tracing, a compiler or a device may raise
                if kept is not None:
                    kept.put_back()
                self._run = None
                self._less(_short(error))
            else:
                self._trials -= 1
                self.seconds = (self.seconds or 0.0) + time.perf_counter() - began
                return terms
        return None

    def _inputs(self, step: int, rates: Sequence[float]) -> Any:
        steps = self.steps
        drawn: Any = steps.batches.draw(step) if self.views else steps.batches.batch(step)
        moving = torch.tensor(rates, dtype=torch.float32).to(steps.device, non_blocking=True)
        return drawn, steps.progress(step), moving

    @torch.no_grad()
    def _made(self, run: Callable[..., Sequence[Tensor]], inputs: Any, seed: int) -> dict[str, Tensor]:
        seed_global(seed)
        return dict(zip(self._names, run(*_flat(inputs)), strict=True))

    def _recorded(self, inputs: Any, seed: int, kept: Kept) -> Callable[..., Sequence[Tensor]]:
        from torch.fx.experimental.proxy_tensor import make_fx  # takes seconds to import

        def body(*flat: Tensor) -> list[Tensor]:
            given, progress, rates = _like(inputs, iter(flat))
            batch = self.steps.batches.make(given) if self.views else given
            terms = self.steps.plain_step(batch, progress, rates.unbind())
            self._names = [*terms]
            return [value.detach().clone() for value in terms.values()]  # an input that is returned would be none of ours

        def record() -> Any:
            seed_global(seed)
            try:
                # else a GPU's gradients are made in a thread where nobody records
                with torch.autograd.set_multithreading_enabled(False), _NoReads():
                    return make_fx(body, decompositions())(*_flat(inputs))
            finally:
                for p in self.steps.algorithm.parameters():
                    p.grad = None

        graph, changed = record(), kept.changed()
        kept.put_back()  # to record is to make the step
        if changed:
            raise _Fixed(f"a step sets {changed}, which a graph cannot do; write in place into a buffer")
        again = record()
        kept.put_back()
        if again.code != graph.code or _others(graph) != _others(again):
            name = type(self.steps.algorithm).__name__
            raise _Fixed(f"{name} changes what Python holds, such as a list; use register_buffer and write in place")
        if found := [str(node.target) for node in graph.graph.nodes if _depends_on_values(node, graph)]:
            raise _Fixed(f"what it does depends on the values in tensors ({found[0]})")
        return compiled(graph, self.steps.device, fixed=True)

    def _less(self, why: str) -> None:
        if self.views:
            self.views = False
            self.steps.tell(f"the views are not part of the compiled step: {why}")
        else:
            self._alone(why)

    def _alone(self, why: str) -> None:
        plain, fast = self.steps.algorithm.loss, compiled(self.steps.algorithm.loss, self.steps.device)

        def tried(batch: Batch, progress: Tensor) -> Step:
            try:
                return fast(batch, progress)
            except Exception as error:  # of a loss that was compiled too often too, or of the method, which raises it again
                self.loss = plain
                self.steps.tell(f"nothing of a step is compiled: {_short(error)}")
                return plain(batch, progress)

        self.loss = tried
        self.steps.tell(f"of each step the loss alone is compiled: {why}")


def _short(error: Exception) -> str:
    return one_line(error)[:300].strip() or type(error).__name__


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Return how cuDNN's batch norm is recorded: as torch's own, which says that it writes running statistics."""
    from torch._decomp import get_decompositions

    return dict(get_decompositions([torch.ops.aten.cudnn_batch_norm, torch.ops.aten.cudnn_batch_norm_backward]))


class _Fixed(Exception):
    """A graph would do at every step what it did at the one that it was recorded from."""


def _depends_on_values(node: Any, graph: nn.Module) -> bool:
    """Whether an operation's result has a shape, or is a number of Python's, that the values of its inputs decide."""
    decided = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output} & {*getattr(node.target, "tags", ())}
    if not decided or node.target is not torch.ops.aten.index.Tensor:  # by places, or by a mask
        return bool(decided)
    places = [place for place in node.args[1] if place is not None]
    tensors = [getattr(graph, place.target) if place.op == "get_attr" else place.meta["val"] for place in places]
    return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in tensors)


def _others(graph: Any) -> list[int]:
    """Return which tensors a graph has, other than those that each recording makes anew."""
    constants = [node for node in graph.graph.nodes if node.op == "get_attr"]
    own = [node for node in constants if any(user.target is not torch.ops.aten.lift_fresh_copy.default for user in node.users)]
    return [id(getattr(graph, node.target)) for node in own]


class _NoReads(TorchFunctionMode):
    """Within it Python may not read a tensor: what it reads of a buffer would be in the graph as it was."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in READS:
            raise _Fixed(f"Python reads what is in a tensor (`{func.__name__}`)")
        return func(*args, **(kwargs or {}))


def _flat(value: Any) -> list[Tensor]:
    """The tensors of nested tuples, in order."""
    return [value] if isinstance(value, Tensor) else [tensor for part in value for tensor in _flat(part)]


def _like(value: Any, tensors: Any) -> Any:
    """The same nested tuples, of other tensors."""
    if isinstance(value, Tensor):
        return next(tensors)
    parts = [_like(part, tensors) for part in value]
    return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)

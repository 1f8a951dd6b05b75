"""What a check works on: one method with a tiny net, made and trained in a line."""

import contextlib
import copy
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch, Facts, Step
from ssl_zoo.ema import Teacher
from ssl_zoo.ranks import average_gradients, gather_rows
from ssl_zoo.registry import Entry
from ssl_zoo.seeds import mix, seed_global
from ssl_zoo.testing.draws import drawn

K, N = 4, 23  # classes, rows
B, U = 6, 10  # labelled and unlabelled images of a batch
CHANNELS, SIZE = 3, 8  # of an image; pixels a side
LABELED = 9  # rows with a label, L
OUTSIDE = (1, 4, 7, 21)  # rows that are not in the unlabelled stream, one of them labelled. No size is another's
MOMENTS = (0.15, 1.0)  # of a run: within most ramps, and after
NOTHING: Mapping[str, Any] = {}


class CheckFailed(AssertionError):
    """A method does not satisfy a check. The message says what is wrong, of which term or tensor, and where to look."""


def fail(message: str) -> NoReturn:
    """Fail the check at hand."""
    raise CheckFailed(message)


class TinyNet(nn.Module):
    """Two convolutions, perhaps batch norms, an average, a linear layer: images (n, 3, 8, 8) -> logits (n, 4).

    Without batch norm an image's logits depend on that image alone, which many checks need.
    """

    def __init__(self, norm: bool):
        super().__init__()
        self.first = nn.Conv2d(CHANNELS, 11, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(11) if norm else nn.Identity()
        self.second = nn.Conv2d(11, 14, 3, stride=2, padding=1)
        self.norm2 = nn.BatchNorm2d(14) if norm else nn.Identity()
        self.head = nn.Linear(14, K)
        self.num_features = 14
        nn.init.normal_(self.head.weight, std=12.0)  # from unsure to sure: a gate is half open, a wrong target shows

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, K)."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """A map (n, 14, 4, 4)."""
        return torch.tanh(self.norm2(self.second(torch.tanh(self.norm1(self.first(x))))))

    def forward_head(self, f: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits (n, K), or the average of the map, (n, 14)."""
        pooled = f.mean(dim=(2, 3))
        return pooled if pre_logits else self.head(pooled)


def make_facts() -> Facts:
    """N rows of which some are labelled, and some are not in the unlabelled stream."""
    stream = torch.tensor([row for row in range(N) if row not in OUTSIDE])
    return Facts(K, N, torch.arange(0, 2 * LABELED, 2), torch.arange(LABELED) % K, stream)


def rows_of(step: int, count: int, among: Tensor) -> Tensor:
    """(count,) different ones of the given rows; others at another step."""
    order = torch.randperm(len(among), generator=torch.Generator().manual_seed(mix("rows", step)))
    return among[order[:count]]


def make_batch(method: AlgorithmBase, step: int = 0, u_index: Tensor | None = None, distinct: bool = False) -> Batch:
    """A batch in which every view differs: the row's image with noise of the view's own.

    As in life, some labelled and some unlabelled rows stand in it twice, with different images.

    Args:
        method: Declares the views.
        step: Chooses rows and noise.
        u_index: (U,) rows to take instead. Rows that repeat differ in their noise.
        distinct: No row twice.
    """
    facts = make_facts()
    images = torch.randn(N, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(7))
    dtype = next(method.parameters()).dtype
    place = rows_of(step, B, torch.arange(LABELED))
    place = place if distinct else torch.cat((place[:-2], place[:2]))  # first and last, so on two ranks of two
    x_index = facts.labeled[place]
    if u_index is None:
        u_index = rows_of(step + 1, U if method.views else 0, facts.unlabeled)
        u_index = u_index if distinct else torch.cat((u_index[:-3], u_index[:3]))[: len(u_index)]

    def view(rows: Tensor, stream: str, k: int) -> Tensor:
        noise = torch.Generator().manual_seed(mix(step, stream, k))
        return (images[rows] + 0.7 * torch.randn(len(rows), CHANNELS, SIZE, SIZE, generator=noise)).to(dtype)

    x, *x_more = (view(x_index, "x", k) for k in range(len(method.labeled_views)))
    u = tuple(view(u_index, "u", k) for k in range(len(method.views)))
    return Batch(x, facts.labels[place], x_index, u, u_index, tuple(x_more))


class Subject(NamedTuple):
    """A method under check."""

    entry: Entry
    options: Mapping[str, Any]  # the caller's, in every check
    double: bool = False  # in float64, where rounding is to be told from a fault

    @property
    def weights(self) -> Mapping[str, str]:
        """Of each unsupervised term, the option that is its weight."""
        return self.make().weights

    def make(
        self,
        options: Mapping[str, Any] = NOTHING,
        *,
        norm: bool = False,
        seed: int = 0,
        class_weights: Sequence[float] | None = None,
    ) -> AlgorithmBase:
        """A fresh method around a fresh net, both from the seed."""
        seed_global(mix(seed, "net"))
        facts = make_facts()
        facts = facts if class_weights is None else facts._replace(class_weights=torch.tensor(class_weights))
        method = self.entry.target(TinyNet(norm), facts, **{**self.entry.fixed, **self.options, **options}).train()
        return method.double() if self.double else method

    def warm(self, options: Mapping[str, Any] = NOTHING, *, norm: bool = False) -> AlgorithmBase:
        """A method after some updates of a short run: memories are filled, stages passed, a teacher has moved."""
        method = self.make(options, norm=norm)
        for step in range(4):
            update(method, make_batch(method, step), step / 3)
        return method

    def teachers(self) -> dict[str, bool]:
        """Names of the submodules that are teachers, and whether an ssl_zoo.ema.Teacher holds them.

        A teacher has the parameters of the net, by name and shape, and is a copy of it at first or is not trained. (A
        second net that is trained, from weights of its own, is none.)
        """
        method = self.make()
        own = dict(method.net.named_parameters())
        held = {id(module.net) for module in method.modules() if isinstance(module, Teacher)}
        found = {}
        for name, module in method.named_modules():
            theirs = dict(module.named_parameters())
            if module is method.net or {key: p.shape for key, p in theirs.items()} != {key: p.shape for key, p in own.items()}:
                continue
            copied = all(torch.equal(p, theirs[key]) for key, p in own.items())
            if copied or not any(p.requires_grad for p in theirs.values()):
                found[name] = id(module) in held
        return found

    def without_weights(self) -> dict[str, float]:
        """The options that switch every unsupervised term off."""
        return dict.fromkeys(self.weights.values(), 0.0)

    def unsupervised(self, out: Step) -> dict[str, Tensor]:
        """The unsupervised terms of a loss."""
        for term in self.weights:
            if term not in out.terms:
                fail(
                    f"`weights` declares the term '{term}', but `loss` returns the terms {', '.join(out.terms)}; "
                    "name each unsupervised term in Step.terms"
                )
        return {term: out.terms[term] for term in self.weights}


def loss(method: AlgorithmBase, batch: Batch, progress: float | Tensor = 1.0, seed: int = 0) -> Step:
    """The loss with the draws of a step, as the trainer calls it."""
    seed_global(mix(seed, "loss"))
    device = batch.x.device
    with drawn():
        return method.loss(batch, torch.as_tensor(progress, dtype=torch.float32, device=device))


def write(method: AlgorithmBase, seen: Mapping[str, Tensor], progress: float = 1.0) -> None:
    """The writing of state, as the trainer calls it."""
    with torch.no_grad(), drawn():
        method.after_step(seen, torch.tensor(progress))


def visit(method: AlgorithmBase, batch: Batch, progress: float = 1.0) -> Step:
    """A loss and then the writing of state, without an update of the net."""
    out = loss(method, batch, progress)
    write(method, out.seen, progress)
    return out


def update(method: AlgorithmBase, batch: Batch, progress: float = 1.0, *, lr: float = 0.2) -> Step:
    """One step in the order of the trainer, with plain SGD. Over ranks when there are several."""
    out = loss(method, batch, progress)
    parameters = [p for p in method.parameters() if p.requires_grad]
    for p in parameters:
        p.grad = None
    out.total.backward()
    average_gradients(parameters)
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    with torch.no_grad():
        for p in parameters:
            if p.grad is not None:
                p -= lr * p.grad
    write(method, {name: gather_rows(rows) for name, rows in out.seen.items()}, progress)
    return out


def gradients(value: Tensor, of: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The gradient of a scalar with respect to named tensors; zeros where there is none."""
    if not value.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in of.items()}
    found = torch.autograd.grad(value, list(of.values()), retain_graph=True, allow_unused=True)
    return {name: torch.zeros_like(t) if g is None else g for (name, t), g in zip(of.items(), found, strict=True)}


def parts(out: Step) -> dict[str, Tensor]:
    """Return what each term that carries a gradient adds to `total`; a part may be negative, and parts may cancel."""
    learned = {name: value for name, value in out.terms.items() if value.requires_grad}
    return {name: factor.detach() * learned[name] for name, factor in gradients(out.total, learned).items()}


def same_number(name: str, one: Step, other: Step, tolerance: float = 1e-5) -> bool:
    """Return whether a term, or `total`, is the same in two steps, up to rounding.

    A term that is never negative is measured by itself. Where parts of opposite sign may have cancelled, the rounding
    is that of the parts: `total` is measured by the sum of its parts' sizes, and a negative term by at least a tenth of
    it.
    """
    a, b = ((out.total if name == "total" else out.terms[name]).detach() for out in (one, other))
    whole = max(float(sum((part.detach().abs() for part in parts(out).values()), torch.zeros(()))) for out in (one, other))
    size = max(float(a.abs()), float(b.abs()))
    if name == "total":
        size = max(size, whole)
    elif min(float(a), float(b)) < 0:
        size = max(size, whole / 10)
    return float((a - b).abs()) <= tolerance * size + 1e-12


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that are not equal bit for bit, or that only one of the two has."""
    names = {**one, **other}
    return [name for name in names if name not in one or name not in other or not torch.equal(one[name], other[name])]


def refuse_nan(state: Mapping[str, Tensor]) -> None:
    """Fail where a state holds NaN, which differs from itself."""
    for name, tensor in state.items():
        if tensor.isnan().any():
            fail(f"{name} is not finite after some steps: a division by the number of kept rows without a floor?")


def snapshot(method: nn.Module) -> dict[str, Tensor]:
    """A copy of the state."""
    return copy.deepcopy(method.state_dict())


def close(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> bool:
    """Whether two tensors agree, relative to the largest entry of either."""
    scale = max(float(one.detach().abs().max()), float(other.detach().abs().max())) if one.numel() else 0.0
    return one.shape == other.shape and bool(((one - other).abs() <= tolerance * scale + 1e-12).all())


@contextlib.contextmanager
def explained(message: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn errors of the given types into a failure of the check that says what it means."""
    try:
        yield
    except errors as error:
        first = next(filter(None, (line.strip() for line in str(error).splitlines())), type(error).__name__)
        raise CheckFailed(f"{message} ({type(error).__name__}: {first})") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the tracer's thousands of log records, which pytest would show with every failure."""
    logger = logging.getLogger("torch.__trace")
    before, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = before

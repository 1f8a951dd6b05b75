"""The check of a memory: what a method keeps of each row of the training set."""

import copy

import torch
from torch import Tensor

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch
from ssl_zoo.testing.subject import (
    CHANNELS,
    LABELED,
    SIZE,
    N,
    Subject,
    close,
    fail,
    gradients,
    loss,
    make_batch,
    make_facts,
    visit,
)


def memory(subject: Subject) -> None:
    """A row of a memory changes by its own visit only; a first visit weighs nothing; a constant is its own average."""
    fresh = subject.make()
    inside = {f"{name}.{key}" for name in ("net", *subject.teachers()) for key, _ in fresh.get_submodule(name).named_buffers()}
    kept = {name: len(tensor) for name, tensor in fresh.named_buffers() if tensor.ndim and name not in inside}
    of_labeled = [name for name, length in kept.items() if length == LABELED]  # a row for each labelled one, by its slot
    memories = [name for name, length in kept.items() if length == N]
    _own_visit_only(subject, memories, of_labeled)
    _repeats_count_once(subject, memories, of_labeled)
    if not memories:
        return
    _first_visit_weighs_nothing(subject, memories)
    _averages_are_of_probabilities(subject, memories)
    _constant_is_its_own_average(subject, memories)


def _own_visit_only(subject: Subject, memories: list[str], of_labeled: list[str]) -> None:
    """Another image of a row, in every view of the step, changes what is kept of that row alone."""
    one, two = subject.warm(), subject.warm()
    batch = make_batch(one, 9)
    before = {name: one.get_buffer(name).clone() for name in (*memories, *of_labeled)}
    streams = [(memories, batch.u_index if len(batch.u_index) else batch.x_index), (of_labeled, batch.x_index)]
    row, labeled = (int(index[0]) for _, index in streams)
    other = batch._replace(
        x=_others_of(batch.x, batch.x_index == labeled),
        x_more=tuple(_others_of(view, batch.x_index == labeled) for view in batch.x_more),
        u=tuple(_others_of(view, batch.u_index == row) for view in batch.u),
    )
    visit(one, batch)
    visit(two, other)
    after, changed = (dict(method.named_buffers()) for method in (one, two))
    visited = torch.cat((batch.u_index, batch.x_index))
    for name in (*memories, *of_labeled):
        rows = torch.arange(N) if name in memories else make_facts().labeled  # the row that each place is of
        rest = ~torch.isin(rows, visited if name in memories else batch.x_index)
        if not torch.equal(after[name][rest], before[name][rest]):
            where = "memory[index], with the index" if name in memories else "memory[slot[x_index]], with the x_index"
            fail(f"{name}: rows that the batch did not visit have changed; write only {where} of `seen`")
        rest = ~torch.isin(rows, torch.tensor([row, labeled]))
        if not close(after[name][rest].double(), changed[name][rest].double()):
            fail(
                f"{name}: other images of the rows {row} and {labeled} change what other rows remember; each value goes to the "
                "row it came from"
            )


def _others_of(view: Tensor, mine: Tensor) -> Tensor:
    """Return a view with other images where `mine` is true."""
    return torch.where(mine[:, None, None, None], view * 2 + 1, view)


def _repeats_count_once(subject: Subject, memories: list[str], of_labeled: list[str]) -> None:
    """A row drawn twice, with the same image, is as a row drawn once."""
    for names, stream in ((memories, "u"), (of_labeled, "x")):
        twice, once = subject.warm(), subject.warm()
        batch = make_batch(twice, 9, distinct=True)
        n = len(getattr(batch, f"{stream}_index"))
        if n < 2 or not names:
            continue
        visit(twice, _taken(batch, stream, torch.tensor([0, 0, *range(2, n)])))
        visit(once, _taken(batch, stream, torch.tensor([0, *range(2, n)])))
        for name in names:
            if not close(twice.get_buffer(name).double(), once.get_buffer(name).double()):
                fail(
                    f"{name}: a row that stands twice in a batch is not as one visit; merge it with ssl_zoo.batch.merge_repeats "
                    "first"
                )


def _taken(batch: Batch, stream: str, way: Tensor) -> Batch:
    """Return a batch with some of the rows of one stream."""
    if stream == "u":
        return batch._replace(u=tuple(view[way] for view in batch.u), u_index=batch.u_index[way])
    more = tuple(view[way] for view in batch.x_more)
    return batch._replace(x=batch.x[way], y=batch.y[way], x_index=batch.x_index[way], x_more=more)


def _first_visit_weighs_nothing(subject: Subject, memories: list[str]) -> None:
    """What a memory holds before a row's first visit is no information, so the loss must not depend on it."""
    method = subject.make()
    batch = make_batch(method, 9, distinct=True)
    before = loss(method, batch)
    for name in memories:
        tensor = method.get_buffer(name)
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=torch.Generator().manual_seed(3)))
    after = loss(method, batch)
    if not close(before.total, after.total):
        fail(
            f"the loss of a first visit depends on what {', '.join(memories)} held before any visit "
            f"({before.total.item():.4g}, with other initial values {after.total.item():.4g}); give a first visit weight zero"
        )


def _averages_are_of_probabilities(subject: Subject, memories: list[str]) -> None:
    """A memory of predictions, (N, K), that begins with a row's logits is an average of logits: another method."""
    method = subject.make()
    batch = make_batch(method, 9, distinct=True)
    if not batch.u:
        return
    with torch.no_grad():
        logits = method.net(batch.u[0])  # (U, K)
    visit(method, batch)
    for name in memories:
        rows = method.get_buffer(name)[batch.u_index]
        if rows.shape == logits.shape and rows.is_floating_point():
            alike = torch.nn.functional.cosine_similarity(rows, logits, dim=1)  # 1 where a row is in proportion to its logits
            if bool((alike > 1 - 1e-5).all()):
                fail(f"{name} keeps logits; the average over visits is of probabilities")


def _constant_is_its_own_average(subject: Subject, memories: list[str]) -> None:
    """While the net stands still, what is kept of an image is its present prediction: its target does not pull."""
    predictions = [
        name
        for name in memories
        if subject.make().get_buffer(name).is_floating_point() and subject.make().get_buffer(name).ndim == 2
    ]
    method = subject.make()
    batch = make_batch(method, 9, distinct=True)
    if not predictions or any(view.shape != (len(batch.u_index), CHANNELS, SIZE, SIZE) for view in batch.u):
        return
    batch = batch._replace(u=(batch.u[0],) * len(batch.u))
    for visits in range(1, 5):
        visit(method, batch)
        wrong = copy.deepcopy(method)
        for name in predictions:
            tensor = wrong.get_buffer(name)
            tensor.copy_(tensor[batch.u_index.roll(1)][torch.arange(N) % len(batch.u_index)] if len(batch.u_index) else tensor)
        pulls, others = (_pulls(subject, one, batch) for one in (method, wrong))
        # A term that does not read the memory, such as an entropy, may pull all the time.
        reading = [term for term in pulls if not all(map(torch.equal, pulls[term], others[term]))] or list(pulls)
        pull, scale = (max((_largest(found[term]) for term in reading), default=0.0) for found in (pulls, others))
        if pull > 1e-3 * scale:
            fail(
                f"after {visits} visits with one and the same prediction, the target from {', '.join(predictions)} is not that "
                f"prediction (pull {pull:.2g}; {scale:.2g} toward other rows' values): is it the row's own, is the start "
                "from zero corrected by 1 - alpha^visits?"
            )


def _pulls(subject: Subject, method: AlgorithmBase, batch: Batch) -> dict[str, list[Tensor]]:
    """Return the gradients of each unsupervised term."""
    parameters = dict(method.net.named_parameters())
    terms = subject.unsupervised(loss(method, batch))
    return {term: list(gradients(value, parameters).values()) for term, value in terms.items()}


def _largest(tensors: list[Tensor]) -> float:
    return max((float(tensor.abs().max()) for tensor in tensors), default=0.0)

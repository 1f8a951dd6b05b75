"""The check of a memory: what a method keeps of each row of the training set."""

import copy

import torch
from torch import Tensor

from ssl_zoo.algorithms.base import AlgorithmBase
from ssl_zoo.batch import Batch
from ssl_zoo.testing.subject import CHANNELS, SIZE, N, Subject, close, fail, gradients, loss, make_batch, snapshot, visit


def memory(subject: Subject) -> None:
    """A row of a memory changes by its own visit only; a first visit weighs nothing; a constant is its own average."""
    fresh = subject.make()
    inside = {f"{name}.{key}" for name in ("net", *subject.teachers()) for key, _ in fresh.get_submodule(name).named_buffers()}
    memories = [name for name, tensor in fresh.named_buffers() if tensor.ndim and len(tensor) == N and name not in inside]
    if not memories:
        return
    _own_visit_only(subject, memories)
    _repeats_count_once(subject, memories)
    _first_visit_weighs_nothing(subject, memories)
    _averages_are_of_probabilities(subject, memories)
    _constant_is_its_own_average(subject, memories)


def _own_visit_only(subject: Subject, memories: list[str]) -> None:
    one, two = subject.warm(), subject.warm()
    batch = make_batch(one, 9)
    before = snapshot(one)
    row = int(batch.u_index[0]) if len(batch.u_index) else int(batch.x_index[0])
    mine = (batch.u_index == row)[:, None, None, None]
    other = batch._replace(u=tuple(torch.where(mine, view * 2 + 1, view) for view in batch.u))
    visit(one, batch)
    visit(two, other)
    after, changed = one.state_dict(), two.state_dict()
    visited = torch.cat((batch.u_index, batch.x_index))
    for name in memories:
        rest = torch.ones(N, dtype=torch.bool).index_fill(0, visited, False)
        if not torch.equal(after[name][rest], before[name][rest]):
            fail(f"{name}: rows that the batch did not visit have changed; write only memory[index], with the index of `seen`")
        rest = torch.arange(N) != row
        if not close(after[name][rest].double(), changed[name][rest].double()):
            fail(f"{name}: another image of row {row} changes what other rows remember; each value goes to the row it came from")


def _repeats_count_once(subject: Subject, memories: list[str]) -> None:
    """A row drawn twice, with the same image, is as a row drawn once."""
    twice, once = subject.warm(), subject.warm()
    batch = make_batch(twice, 9)
    if len(batch.u_index) < 2:
        return
    doubled = batch._replace(
        u=tuple(torch.cat((v[:1], v[:1], v[2:])) for v in batch.u),
        u_index=torch.cat((batch.u_index[:1], batch.u_index[:1], batch.u_index[2:])),
    )
    single = batch._replace(
        u=tuple(torch.cat((v[:1], v[2:])) for v in batch.u), u_index=torch.cat((batch.u_index[:1], batch.u_index[2:]))
    )
    visit(twice, doubled)
    visit(once, single)
    for name in memories:
        if not close(twice.state_dict()[name].double(), once.state_dict()[name].double()):
            fail(
                f"{name}: a row that stands twice in a batch is not as one visit; merge it with ssl_zoo.batch.merge_repeats first"
            )


def _first_visit_weighs_nothing(subject: Subject, memories: list[str]) -> None:
    """What a memory holds before a row's first visit is no information, so the loss must not depend on it."""
    method = subject.make()
    batch = make_batch(method, 9)
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
    batch = make_batch(method, 9)
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
    batch = make_batch(method, 9)
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

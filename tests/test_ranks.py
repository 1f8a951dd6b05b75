"""Two processes with half a batch each, against one with the whole."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ssl_zoo import ALGORITHMS, Facts, ranks
from tests.conftest import ROWS, K, TinyNet, make_batch


def test_on_one_rank_everything_is_the_identity():
    rows = torch.randn(4, 3, requires_grad=True)
    assert ranks.ranks() == 1 and ranks.rank() == 0
    assert torch.equal(ranks.gather_rows(rows), rows) and not ranks.gather_rows(rows).requires_grad
    assert ranks.gather_rows_grad(rows) is rows
    torch.testing.assert_close(ranks.global_mean(rows), rows.mean(dim=0))
    ranks.global_mean_grad(rows).sum().backward()
    torch.testing.assert_close(rows.grad, torch.full((4, 3), 0.25))


def steps(name: str, rank: int, size: int) -> dict[str, torch.Tensor]:
    """The state after four updates, in the order of the trainer's loop."""
    torch.manual_seed(0)
    facts = Facts(K, ROWS, torch.arange(4), torch.tensor([0, 1, 2, 0]), torch.arange(ROWS))
    method = ALGORITHMS.create(name, net=TinyNet(norm=False), facts=facts)
    parameters = [p for p in method.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, 0.1)
    for step in range(4):
        whole = make_batch(len(method.views), seed=step)

        def mine(rows):
            return rows.chunk(size)[rank] if len(rows) else rows

        batch = torch.utils._pytree.tree_map(mine, whole)
        out = method.loss(batch, torch.tensor(0.5))
        optimizer.zero_grad()
        out.total.backward()
        ranks.average_gradients(parameters)
        optimizer.step()
        with torch.no_grad():
            method.after_step({key: ranks.gather_rows(rows) for key, rows in out.seen.items()})
    return method.state_dict()


WORKER = """
import os, sys, torch, torch.distributed as dist
from tests.test_ranks import steps
from ssl_zoo import ranks
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
states = {name: steps(name, rank, 2) for name in sys.argv[3:]}
rows = (torch.arange(6.0).view(2, 3) + 10 * rank).requires_grad_()
gathered = ranks.gather_rows_grad(rows)
(gathered * torch.arange(1.0, 5.0)[:, None]).sum().backward()
mean = ranks.global_mean_grad(rows.detach().requires_grad_())
compiled = torch.compile(ranks.global_mean, fullgraph=True, backend="eager")(rows)
facts = {
    "gathered": gathered.detach() + 0,
    "plain": ranks.gather_rows(rows),
    "grad": rows.grad,
    "mean": mean.detach() + 0,
    "compiled": compiled + 0,
}
torch.save((states, facts), f"{folder}/{rank}.pt")
dist.barrier()
sys.stderr.flush()
os._exit(0)  # past the interpreter's shutdown, in which gloo's threads, dropping their last tensors, can abort the process
"""


@pytest.mark.slow
def test_two_ranks_equal_one(tmp_path):
    names = ALGORITHMS.names()
    root = Path(__file__).parent.parent
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(tmp_path), *names], cwd=root, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    errors = [worker.communicate(timeout=300)[1] for worker in workers]
    assert all(worker.returncode == 0 for worker in workers), errors
    states, facts = zip(*(torch.load(tmp_path / f"{rank}.pt") for rank in range(2)), strict=True)
    for name in names:
        whole = steps(name, 0, 1)
        for state in states:
            for key, value in whole.items():
                torch.testing.assert_close(state[name][key], value, msg=lambda m, n=name, k=key: f"{n}: {k}: {m}")
    rows = torch.cat([torch.arange(6.0).view(2, 3), torch.arange(6.0).view(2, 3) + 10])
    for rank, fact in enumerate(facts):
        assert torch.equal(fact["gathered"], rows) and torch.equal(fact["plain"], rows)
        weights = torch.arange(1.0, 5.0)[2 * rank : 2 * rank + 2, None].expand(2, 3)
        assert torch.equal(fact["grad"], 2 * weights)  # both ranks' losses depend on these rows
        torch.testing.assert_close(fact["mean"], rows.mean(dim=0))
        torch.testing.assert_close(fact["compiled"], rows.mean(dim=0))

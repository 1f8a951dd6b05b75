"""What two processes agree on. That every method's update is the same on two ranks is one of the checks of `ssl_zoo.testing`."""

import datetime

import torch
import torch.distributed as dist
from joblib import Parallel, delayed

from ssl_zoo import ranks


def test_on_one_rank_everything_is_the_identity():
    rows = torch.randn(4, 3, requires_grad=True)
    assert ranks.ranks() == 1 and ranks.rank() == 0
    assert torch.equal(ranks.gather_rows(rows), rows) and not ranks.gather_rows(rows).requires_grad
    assert ranks.gather_rows_grad(rows) is rows
    torch.testing.assert_close(ranks.global_mean(rows), rows.mean(dim=0))
    ranks.global_mean_grad(rows).sum().backward()
    torch.testing.assert_close(rows.grad, torch.full((4, 3), 0.25))


def on_rank(rank, meet):
    """What one of two ranks sees."""
    store = dist.FileStore(meet, 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=datetime.timedelta(seconds=60))
    try:
        rows = (torch.arange(6.0).view(2, 3) + 10 * rank).requires_grad_()
        gathered = ranks.gather_rows_grad(rows)
        (gathered * torch.arange(1.0, 5.0)[:, None]).sum().backward()
        used, unused = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
        used.grad = torch.tensor([1.0, 2.0]) * (1 + 2 * rank)
        if rank:
            unused.grad = torch.ones(2)
        nobody = torch.nn.Parameter(torch.zeros(2))
        ranks.average_gradients([used, unused, nobody])
        assert nobody.grad is None, "as on one rank: the optimiser leaves such a parameter alone"
        last = torch.nn.Parameter(torch.zeros(2, 3, 2, 2).to(memory_format=torch.channels_last))
        last.grad = torch.arange(24.0).view(2, 3, 2, 2).to(memory_format=torch.channels_last) + rank
        ranks.average_gradients([last])
        assert last.grad.stride() == last.stride(), "the fused optimisers walk through both as they lie in memory"
        seen = {
            "last": last.grad,
            "ranks": torch.tensor([ranks.rank(), ranks.ranks()]),
            "gathered": gathered.detach() + 0,
            "plain": ranks.gather_rows(rows),
            "grad": rows.grad,
            "mean": ranks.global_mean(rows),
            "mean_grad": ranks.global_mean_grad(rows).detach() + 0,
            "compiled": torch.compile(ranks.global_mean, fullgraph=True, backend="eager")(rows) + 0,
            "averaged": torch.stack((used.grad, unused.grad)),
        }
        dist.barrier()
        return seen
    finally:
        dist.destroy_process_group()


def test_two_ranks_see_the_global_batch(tmp_path):
    meet = str(tmp_path / "meet")
    rows = torch.cat([torch.arange(6.0).view(2, 3), torch.arange(6.0).view(2, 3) + 10])
    for rank, seen in enumerate(Parallel(n_jobs=2)(delayed(on_rank)(rank, meet) for rank in range(2))):
        assert seen["ranks"].tolist() == [rank, 2]
        assert torch.equal(seen["gathered"], rows) and torch.equal(seen["plain"], rows)
        weights = torch.arange(1.0, 5.0)[2 * rank : 2 * rank + 2, None].expand(2, 3)
        assert torch.equal(seen["grad"], 2 * weights)  # both ranks' losses depend on these rows
        for name in ("mean", "mean_grad", "compiled"):
            torch.testing.assert_close(seen[name], rows.mean(dim=0))
        assert torch.equal(seen["last"], torch.arange(24.0).view(2, 3, 2, 2) + 0.5)
        assert seen["averaged"].tolist() == [[2, 4], [0.5, 0.5]]  # a parameter that a rank did not use counts as zero

"""Batches on a GPU: the CPU's rows and pixels, and the same ones where the images have no room there."""

import functools

import pytest
import torch

from ssl_zoo import device as devices
from ssl_zoo.data import normalisation
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.runs import assembly
from tests.gpu.tiny import DATA, EVERY, WEAK, trainer


@pytest.mark.gpu("uniform", "balanced")
@pytest.mark.parametrize("labeled_classes", ["uniform", "balanced"])
def test_the_same_batches_as_on_the_cpu(labeled_classes, device):
    """Bit for bit, where pixels are moved and normalised: what is drawn is drawn on the CPU."""
    batch = {"labeled": 8, "unlabeled": 12, "labeled_classes": labeled_classes}
    views = {"weak": WEAK, "strong": {"cutout": {}}}
    made = [trainer("fixmatch", where, views=views, batch=batch).batches for where in (device, "cpu")]
    for step in (0, 1, 7, 100):
        there, here = (pipeline.batch(step) for pipeline in made)
        for one, other in zip((*there[:3], *there.u, there.u_index), (*here[:3], *here.u, here.u_index), strict=True):
            assert torch.equal(one.cpu(), other)


@pytest.mark.gpu("every")
@pytest.mark.parametrize("what", ["every"])
def test_every_augmentation_draws_as_on_the_cpu(what, device):
    """But for noise, a number for each pixel; what is made with it is the same to rounding, not to the bit."""
    views = {"weak": WEAK, "strong": {name: options for name, options in EVERY.items() if name not in ("randaugment", "noise")}}
    there, here = (trainer("fixmatch", where, views=views).batches.batch(3) for where in (device, "cpu"))
    torch.testing.assert_close(there.u[1].cpu(), here.u[1], rtol=0, atol=1e-3)
    views = {"weak": {}, "strong": {"randaugment": {}}}
    there, here = (trainer("fixmatch", where, views=views).batches.batch(3) for where in (device, "cpu"))
    apart = (there.u[1].cpu() - here.u[1]).abs()
    assert (apart > 0.02).float().mean() < 0.01, "it rounds to bytes: now and then one is another"


@pytest.mark.gpu("room-none")
@pytest.mark.parametrize("of", ["room-none"])
def test_images_without_room_give_the_same_batches(of, device, monkeypatch):
    """They stay on the host, and the rows of each step are fetched."""
    there = trainer("fixmatch", device).batches
    if device == "cuda":
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * DATA.images.nbytes - 1, 1 << 40))
        assert not devices.holds(torch.device("cuda", 0), DATA.images.nbytes)
    else:
        monkeypatch.setattr(normalisation, "holds", lambda *asked, **more: False)
        monkeypatch.setattr(assembly, "Pipeline", functools.partial(Pipeline, fetch=True))
    here = trainer("fixmatch", device).batches
    assert there._host is None and here._host is not None and here.images.device.type == "cpu"
    for step in (*range(20), 7, 8, 3):
        one, other = there.batch(step), here.batch(step)
        parts = zip((*one[:3], *one.u, one.u_index), (*other[:3], *other.u, other.u_index), strict=True)
        assert all(torch.equal(a, b) for a, b in parts), step


@pytest.mark.gpu("twice")
@pytest.mark.parametrize("how", ["twice"])
def test_a_batch_is_the_same_twice(how, device):
    made = trainer("fixmatch", device).batches
    first = [made.batch(step) for step in (3, 4)]
    again = [trainer("fixmatch", device).batches.batch(step) for step in (3, 4)]
    for one, other in zip(first, again, strict=True):
        assert all(map(torch.equal, (one.x, *one.u), (other.x, *other.u)))
    assert not torch.equal(first[0].u[0], first[1].u[0])

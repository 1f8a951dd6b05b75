"""Batches on a GPU: the CPU's rows and pixels, and the same ones where the images have no room there."""

import functools

import pytest
import torch

from ssl_zoo import device as devices
from ssl_zoo.data import normalisation
from ssl_zoo.data.pipeline import Pipeline
from ssl_zoo.runs import assembly
from tests.gpu.tiny import DATA, trainer


@pytest.mark.gpu("uniform", "balanced")
@pytest.mark.parametrize("labeled_classes", ["uniform", "balanced"])
def test_the_same_images_as_on_the_cpu(labeled_classes, device):
    """Rows and classes bit for bit, and the very bytes of every image; of what is made of these, the last bit may differ.

    What augmentations draw is another matter: each device has generators of its own.
    """
    batch = {"labeled": 8, "unlabeled": 12, "labeled_classes": labeled_classes}
    made = [trainer("fixmatch", where, views={"weak": {}, "strong": {}}, batch=batch).batches for where in (device, "cpu")]
    for step in (0, 1, 7, 100):
        there, here = (pipeline.batch(step) for pipeline in made)
        for one, other in ((there.x_index, here.x_index), (there.u_index, here.u_index), (there.y, here.y)):
            assert torch.equal(one.cpu(), other)
        for images, other, rows in ((there.x, here.x, here.x_index), *((u, here.u[0], here.u_index) for u in there.u)):
            torch.testing.assert_close(images.cpu(), other, rtol=0, atol=2e-6)
            view = made[0].views["weak"]
            pixels = (images.permute(0, 2, 3, 1) * view.std + view.mean) * 255
            assert torch.equal(pixels.round().to(torch.uint8).cpu(), torch.from_numpy(DATA.images)[rows])


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

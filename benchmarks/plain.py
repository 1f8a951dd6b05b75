"""Mean Teacher as a tutorial writes it, to be measured against.

Images through PIL one by one, a loop over parameters, .item() in
every step. Nothing in it is slow on purpose; it is what one writes first. Nothing else uses it."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


def view(side: int, strong: bool = False) -> transforms.Compose:
    """A random view of a PIL image of so many pixels a side: shifted, mirrored.

    Strong: with RandAugment and Cutout too.
    """
    steps = [transforms.RandomCrop(side, padding=4, padding_mode="reflect"), transforms.RandomHorizontalFlip()]
    steps += [transforms.RandAugment()] if strong else []
    steps += [transforms.ToTensor()]
    steps += [transforms.RandomErasing(p=1, scale=(0.01, 0.25), ratio=(1, 1), value=0.5)] if strong else []
    return transforms.Compose([*steps, transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))])


class TwoViews(Dataset[tuple[Tensor, Tensor, int]]):
    """Two random views of each image, and its class.

    Args:
        images: (N, H, W, 3) uint8.
        labels: (N,) classes.
        rows: Which of them.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, rows: np.ndarray):
        self.images, self.labels, self.rows = images, labels, rows
        self.view = view(images.shape[1])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor, int]:
        row = self.rows[place]
        image = Image.fromarray(self.images[row])
        return self.view(image), self.view(image), int(self.labels[row])


def endless(loader: DataLoader[Any]) -> Iterator[Any]:
    """Its batches, epoch after epoch."""
    for _ in itertools.count():
        yield from loader


class PlainMeanTeacher:
    """One training loop.

    Args:
        net: The student.
        images: (N, H, W, 3) uint8.
        labels: (N,) classes.
        labeled: Rows with a label.
        batch: Labelled and unlabelled images of a step.
        workers: Of each DataLoader.
        device: Where the nets are.
    """

    def __init__(
        self,
        net: nn.Module,
        images: np.ndarray,
        labels: np.ndarray,
        labeled: np.ndarray,
        batch: tuple[int, int],
        workers: int,
        device: torch.device,
    ):
        self.device = device
        self.student = net.to(device).train()
        self.teacher = copy.deepcopy(self.student)
        for p in self.teacher.parameters():
            p.requires_grad = False
        self.optimizer = torch.optim.SGD(self.student.parameters(), lr=0.03, momentum=0.9, nesterov=True, weight_decay=5e-4)
        every = np.arange(len(images))
        self._streams = [
            endless(
                DataLoader(
                    TwoViews(images, labels, rows),
                    size,
                    shuffle=True,
                    drop_last=True,
                    num_workers=workers,
                    persistent_workers=workers > 0,
                    pin_memory=device.type == "cuda",
                )
            )
            for rows, size in zip((labeled, every), batch, strict=True)
        ]
        self.losses: list[tuple[float, float]] = []

    def step(self) -> None:
        """One update."""
        x, _, y = next(self._streams[0])
        own, other, _ = next(self._streams[1])
        x, y, own, other = (part.to(self.device) for part in (x, y, own, other))
        logits = self.student(torch.cat((x, own)))
        with torch.no_grad():
            target = self.teacher(other)
        supervised = F.cross_entropy(logits[: len(x)], y)
        consistency = F.mse_loss(logits[len(x) :].softmax(dim=1), target.softmax(dim=1))
        loss = supervised + 10 * consistency
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for theirs, mine in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            theirs.data.mul_(0.999).add_(mine.data, alpha=0.001)
        self.losses.append((supervised.item(), consistency.item()))

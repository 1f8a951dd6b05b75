"""Where the tests of this folder run, and how exact arithmetic is there."""

import pytest
import torch

from tests.conftest import gpu_device


@pytest.fixture
def device(request) -> str:
    """cuda, or cpu where that is asked for, or stands in."""
    return gpu_device(request.config) or "cpu"


@pytest.fixture
def exact():
    """No TF32, to which a GPU rounds convolutions otherwise."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before

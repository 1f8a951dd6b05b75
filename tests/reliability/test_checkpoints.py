"""Checkpoints that are cut short, changed, made by a stranger, or that the disk has no room for."""

import os
import pickle
import signal
import threading
import zipfile
from collections import OrderedDict

import pytest
import torch

from ssl_zoo import InputError, files
from ssl_zoo.train.checkpoint import LAST, PREVIOUS, Checkpoints

CPU = torch.device("cpu")


def state(step, **more):
    weights = OrderedDict(weight=torch.arange(6.0).view(2, 3) + step, count=torch.tensor(step), flags=torch.tensor([True, False]))
    return {
        "step": step,
        "algorithm": weights,
        "optimizer": {"state": {0: {"momentum": torch.ones(3, dtype=torch.bfloat16)}}},
        **more,
    }


def save(folder, *steps):
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(state(step))
    checkpoints.wait()
    assert checkpoints.step == steps[-1]


def test_what_is_saved_is_loaded(tmp_path):
    assert Checkpoints(tmp_path).load(CPU) is None
    saved = state(7, evaluations=[{"step": 7, "accuracy": 0.25}], text="é", none=None, pair=(1, 2.5), empty=torch.zeros(0, 4))
    saved["channels_last"] = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(saved)
    checkpoints.wait()
    loaded = Checkpoints(tmp_path).load(CPU)
    assert loaded["evaluations"] == saved["evaluations"] and loaded["text"] == "é" and loaded["pair"] == (1, 2.5)
    assert torch.equal(loaded["algorithm"]["weight"], saved["algorithm"]["weight"])
    assert loaded["optimizer"]["state"][0]["momentum"].dtype == torch.bfloat16 and loaded["empty"].shape == (0, 4)
    assert torch.equal(loaded["channels_last"], saved["channels_last"])
    assert loaded["channels_last"].is_contiguous(memory_format=torch.channels_last)


def test_what_changes_after_save_does_not_reach_the_file(tmp_path):
    weights, scores = torch.zeros(1_000_000), [1]
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save({"step": 1, "weights": weights, "scores": scores})
    weights += 1
    scores.append(2)
    checkpoints.wait()
    loaded = Checkpoints(tmp_path).load(CPU)
    assert loaded["weights"].sum() == 0 and loaded["scores"] == [1]


def test_the_last_two_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3)
    assert sorted(os.listdir(tmp_path)) == [PREVIOUS, LAST]
    assert [torch.load(tmp_path / name, weights_only=True)["step"] for name in (LAST, PREVIOUS)] == [3, 2]


def cut(content):
    return content[: len(content) // 2]


def emptied(content):
    return b""


def flipped_in_a_tensor(content):
    place = content.index(torch.tensor([5.0, 6.0, 7.0]).numpy().tobytes())  # the weights of step 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def flipped_in_a_value(content):
    place = content.index(b"accuracy")
    return content[:place] + b"accurazy" + content[place + 8 :]


@pytest.mark.parametrize("harm", [cut, emptied, flipped_in_a_tensor, flipped_in_a_value])
def test_a_damaged_one_is_noticed_and_the_one_before_is_used(tmp_path, harm):
    for step in (1, 2):
        checkpoints = Checkpoints(tmp_path)
        checkpoints.save(state(step, evaluations=[{"accuracy": 0.5}]))
        checkpoints.wait()
    last = tmp_path / LAST
    harmed = harm(last.read_bytes())
    last.write_bytes(harmed)
    with pytest.warns(UserWarning, match=r"a checkpoint is damaged and the one before it, of step 1, is used: .*checkpoint\.pt"):
        assert Checkpoints(tmp_path).load(CPU)["step"] == 1
    (tmp_path / PREVIOUS).write_bytes(harmed)
    with pytest.raises(
        InputError, match=r"no checkpoint can be used .*begin anew with `fresh=True`, or use another folder"
    ) as error:
        Checkpoints(tmp_path).load(CPU)
    assert "\n" not in str(error.value)


def test_every_flipped_byte_of_the_content_is_noticed_or_harmless(tmp_path):
    """Whatever byte is flipped: the same state is read, or none. Never another one, and no code runs."""
    save(tmp_path, 3)
    last = tmp_path / LAST
    good = last.read_bytes()
    noticed = 0
    for place in range(0, len(good), 7):
        last.write_bytes(good[:place] + bytes([good[place] ^ 0x10]) + good[place + 1 :])
        try:
            loaded = Checkpoints(tmp_path).load(CPU)
        except InputError:
            noticed += 1
            continue
        assert loaded["step"] == 3 and torch.equal(loaded["algorithm"]["weight"], state(3)["algorithm"]["weight"])
        assert loaded["optimizer"]["state"][0]["momentum"].tolist() == [1, 1, 1]
    assert noticed > 20


class Evil:
    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return (open, (str(self.file), "w"))


def as_torch(file, evil):
    torch.save({"step": 1, "algorithm": evil}, file)


def as_pickle(file, evil):
    file.write_bytes(pickle.dumps({"step": 1, "algorithm": evil}, protocol=2))


def inside_a_checkpoint(file, evil):
    """A good checkpoint whose pickle alone is replaced."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, pickle.dumps(evil, protocol=2) if name.endswith("data.pkl") else data)


@pytest.mark.parametrize("make", [as_torch, as_pickle, inside_a_checkpoint])
def test_one_from_a_stranger_cannot_run_code(tmp_path, make):
    save(tmp_path, 1)
    make(tmp_path / LAST, Evil(tmp_path / "evil"))
    with pytest.raises(InputError, match="no checkpoint can be used"):
        Checkpoints(tmp_path).load(CPU)
    assert not (tmp_path / "evil").exists()


def test_the_good_one_outlives_the_damaged_one(tmp_path):
    """The next save after a fallback must not put the damaged file in the place of the one that was used."""
    save(tmp_path, 1, 2)
    (tmp_path / LAST).write_bytes(b"damaged")
    checkpoints = Checkpoints(tmp_path)
    with pytest.warns(UserWarning, match="of step 1, is used"):
        checkpoints.load(CPU)
    checkpoints.save(state(3))
    checkpoints.wait()
    assert [torch.load(tmp_path / name, weights_only=True)["step"] for name in (LAST, PREVIOUS)] == [3, 1]
    checkpoints.save(state(4))
    checkpoints.wait()
    assert [torch.load(tmp_path / name, weights_only=True)["step"] for name in (LAST, PREVIOUS)] == [4, 3]


def test_a_signal_while_waiting_ends_no_writing(tmp_path, monkeypatch):
    """A second Ctrl-C ends the waiting; whoever waits then, as before the lock is given back, waits for the same."""
    going, inner = threading.Event(), torch.save
    monkeypatch.setattr(torch, "save", lambda *args: (going.wait(), inner(*args)))

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        checkpoints = Checkpoints(tmp_path)
        checkpoints.save(state(5))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert checkpoints.step == 0 and not (tmp_path / LAST).exists()
    going.set()
    checkpoints.wait()
    assert checkpoints.step == 5 and (tmp_path / LAST).exists()


def test_what_is_no_state_of_a_run_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / LAST)
    with pytest.raises(InputError, match="it holds a list"):
        Checkpoints(tmp_path).load(CPU)


@pytest.mark.parametrize("room", [0.95, 0.6, 0.2, 0.0])
def test_torch_hides_no_full_disk(tmp_path, monkeypatch, room):
    """Whatever part of the file there is room for: the system's error, not torch's about its own writer."""
    save(tmp_path, 1)
    left = int((tmp_path / LAST).stat().st_size * room)
    inner = files.replace

    class Full:
        def __init__(self, file):
            self.file, self.left = file, left

        def write(self, data):
            self.left -= len(bytes(data))
            if self.left < 0:
                raise OSError(28, "No space left on device")
            return self.file.write(data)

        def flush(self):
            self.file.flush()

    monkeypatch.setattr(files, "replace", lambda path, write, keep: inner(path, lambda file: write(Full(file)), keep))
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state(2))
    with pytest.raises(OSError, match="No space left on device"):
        checkpoints.wait()
    assert os.listdir(tmp_path) == [LAST]


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def fail(content, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", fail)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.load(CPU)
    checkpoints.save(state(2))
    with pytest.raises(OSError, match="No space left"):
        checkpoints.wait()
    assert checkpoints.step == 1 and os.listdir(tmp_path) == [LAST]  # the half file's room is given back
    checkpoints.wait()  # it is said once
    monkeypatch.undo()
    assert Checkpoints(tmp_path).load(CPU)["step"] == 1


def test_replace_keeps_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.json"
    files.replace_text(path, "old")

    def fail(file):
        file.write(b"ne")
        raise ValueError

    with pytest.raises(ValueError):
        files.replace(path, fail)
    assert path.read_text() == "old"
    files.replace_text(path, "new é")
    assert path.read_text(encoding="utf-8") == "new é"
    files.replace(path, lambda file: file.write(b"newer"), keep=tmp_path / "b.json")
    assert (tmp_path / "b.json").read_text(encoding="utf-8") == "new é" and path.read_text() == "newer"

"""Other toolkits are measured as they are: what a step leaves out is found, and what is not installed is skipped."""

import copy
import functools
import sys
import types

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import speed, timing
from benchmarks.timing.peers import lines_of, measured
from benchmarks.timing.peers.contender import Peer, net_of
from benchmarks.timing.peers.facts import facts_of, gradient, in_words, share
from benchmarks.timing.peers.with_modssc import Modssc
from benchmarks.timing.peers.with_semilearn import Semilearn

SMALL = speed.CIFAR._replace(net="smallnet", side=8, rows=120, batch=(4, 8))
CPU = torch.device("cpu")


class Written(Peer):
    """Mean Teacher in a few lines, whole or with a fault."""

    rows = {"as it is": {}}

    def __init__(self, w, alg, data, device, weight=1.0, probe=False, whole=False, fault=""):
        self.w, self.weight, self.fault, self.turns = w, weight, fault, []
        self.net = net_of(w, data, device)
        self.teacher = copy.deepcopy(self.net)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1)
        self.images = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 255
        self.labels = torch.from_numpy(data.labels)
        if fault == "frozen":
            for module in [*self.net.modules(), *self.teacher.modules()]:
                module.train(not isinstance(module, nn.BatchNorm2d))

    def turn(self, steps):
        self.turns.append(steps)
        labeled, unlabeled = self.w.batch
        for _ in range(steps):
            supervised = F.cross_entropy(self.net(self.images[:labeled]), self.labels[:labeled])
            own = self.net(self.images[:unlabeled])
            with torch.no_grad():
                target = self.teacher(self.images[:unlabeled].flip(-1)).softmax(1)
            own = own.detach() if self.fault == "detached" else own
            self.optimizer.zero_grad()
            (supervised + self.weight * F.mse_loss(own.softmax(1), target)).backward()
            self.optimizer.step()
            if self.fault != "still":
                for theirs, mine in zip(self.teacher.parameters(), self.net.parameters(), strict=True):
                    theirs.data.mul_(0.999).add_(mine.data, alpha=0.001)

    def average(self):
        return list(self.teacher.parameters())

    def nets(self):
        return [self.net, self.teacher]

    def fresh(self):
        return False

    def notes(self):
        return ["it is written down here"]


def made(fault=""):
    return functools.partial(Written, SMALL, "meanteacher", timing.random_data(SMALL), CPU, fault=fault)


def test_a_whole_step_is_found_whole():
    facts = facts_of(made())
    assert facts["passes"] == [[4, True, True], [8, True, True], [8, False, True]]
    assert (
        facts["consistency"] > 1e-6
        and facts["statistics"] == 2
        and facts["average"] == pytest.approx(0.001, rel=0.01)
        and facts["fresh"] is False
    )
    words = in_words(facts)
    assert words[0] == "a step passes 4 + 8 images with a gradient and 8 without"
    assert words[1] == f"the gradient of its unlabelled term is {facts['consistency']:.2g} of the labelled one's"
    assert words[2] == "batch norm takes each batch's statistics, and a step moves the running ones twice"
    assert words[3:] == [
        "a step moves the running average 0.001 of its way to the net",
        "an image has the same views in every epoch",
    ]


def test_the_share_of_the_way_to_the_net():
    before, net = [torch.zeros(2)], [torch.tensor([4.0, 0.0])]
    assert share(before, net, [torch.tensor([1.0, 0.0])]) == 0.25 and share(before, net, before) == 0


def test_the_gradient_of_the_unlabelled_term_is_what_the_difference_of_weights_gives():
    """Against the term's own gradient, by autograd."""
    peer = made()(weight=1.0, probe=True)
    own = peer.net(peer.images[:4]), peer.net(peer.images[:8])
    target = peer.teacher(peer.images[:8].flip(-1)).softmax(1).detach()
    term = F.mse_loss(own[1].softmax(1), target)
    wanted = torch.cat([part.flatten() for part in torch.autograd.grad(term, list(peer.net.parameters()))])
    torch.testing.assert_close((gradient(made(), 100.0) - gradient(made(), 0.0)) / 100, wanted, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("fault", "place", "said"),
    [
        ("detached", 1, "its unlabelled term has no gradient: it trains on the labelled images alone"),
        ("frozen", 2, "batch norm takes its running statistics in every pass, which no step ever moves: they stay 0 and 1"),
        ("still", 3, "a step moves the running average 0 of its way to the net"),
    ],
)
def test_a_fault_is_found_and_said(fault, place, said):
    words, whole = in_words(facts_of(made(fault))), in_words(facts_of(made()))
    assert words[place] == said
    assert all(one == other for row, (one, other) in enumerate(zip(words, whole, strict=True)) if row not in (1, place))


FIGURES = {
    "title": "Work",
    "rounds": 3,
    "steps": 2,
    "parameters": 12345,
    "methods": {
        "meanteacher": {
            "ours, fp32": {
                "step": {"median": 0.5, "min": 0.4, "max": 0.6},
                "images_per_second": 256.4,
                "ratio": {"median": 1, "min": 1, "max": 1},
                "peak_memory": 3 * 2**20,
            },
            "other 1.0, slowly": {
                "step": {"median": 0.05, "min": 0.04, "max": 0.06},
                "images_per_second": 25.0,
                "ratio": {"median": 2.5, "min": 2, "max": 3},
                "peak_memory": None,
            },
        }
    },
    "skipped": ["third is skipped"],
    "notes": ["other 1.0: a note"],
}


def test_the_table():
    assert lines_of(FIGURES) == [
        "**Other toolkits**, Work, 3 rounds, a net of 12,345 parameters:",
        "",
        "| | ms a step | images a second | times ours in fp32 | peak memory, MB |",
        "| - | -: | -: | -: | -: |",
        "| meanteacher: ours, fp32 | 500 (400 to 600) | 256 | 1.00 (1.00 to 1.00) | 3 |",
        "| meanteacher: other 1.0, slowly | 50.0 (40.0 to 60.0) | 25 | 2.50 (2.00 to 3.00) |  |",
        "",
        "- third is skipped.",
        "- other 1.0: a note.",
        "",
    ]


def standing_in(monkeypatch, tmp_path):
    """A toolkit that is installed, one that is not, and one that is broken."""
    (tmp_path / "written-1.5.dist-info").mkdir()
    (tmp_path / "written-1.5.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: written\nVersion: 1.5\n")
    (tmp_path / "broken_toolkit.py").write_text("raise RuntimeError('needs a GPU')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "written", types.ModuleType("written"))
    monkeypatch.setattr(measured, "find_spec", lambda name: None if name == "absent" else name)
    toolkits = {"written": ("1", Written), "absent": ("2.3", Written), "broken_toolkit": ("4", Written)}
    monkeypatch.setattr(measured, "TOOLKITS", toolkits)


def test_what_is_not_installed_or_broken_is_skipped(monkeypatch, tmp_path):
    standing_in(monkeypatch, tmp_path)
    assert measured.installed() == (
        {"written": "1.5"},
        [
            "absent is skipped: it is not installed (pip install absent==2.3)",
            "broken_toolkit is skipped: it cannot be imported (RuntimeError: needs a GPU)",
        ],
    )


def test_toolkits_take_turns_with_ours(monkeypatch, tmp_path):
    standing_in(monkeypatch, tmp_path)
    asked, peers = [], []
    monkeypatch.setattr(measured, "METHODS", ("meanteacher",))
    monkeypatch.setattr(measured, "peaks_of", lambda rows: asked.extend(rows) or [2**20 * (n + 1) for n in range(len(rows))])
    inner = Written.__init__
    monkeypatch.setattr(Written, "__init__", lambda self, *given, **more: peers.append(self) or inner(self, *given, **more))
    found = timing.peers_of(SMALL, 2, 3, "cpu", fast=False)
    rows = found["methods"]["meanteacher"]
    names = [name for name in rows if name.startswith("ours")] + ["written 1.5, as it is"]
    assert (
        [*rows] == names
        and names[0] == "ours, fp32"
        and [row["peak_memory"] // 2**20 for row in rows.values()] == [n + 1 for n in range(len(names))]
    )
    assert rows["ours, fp32"]["ratio"] == {"median": 1, "min": 1, "max": 1}
    assert all(row["images_per_second"] == pytest.approx(12 / row["step"]["median"]) for row in rows.values())
    assert asked[-1][:1] == ("written",) and asked[0][0] is None and asked[0][4] == {"precision": "fp32"}
    assert peers[0].turns == [3, 3, 3]  # one turn that does not count, and two that do
    text = "\n".join(lines_of(found))
    assert "written 1.5, meanteacher: a step passes 4 + 8 images with a gradient and 8 without;" in text
    assert "Ours, meanteacher: a step passes 12 images with a gradient and 8 without." in text
    assert "written 1.5: it is written down here." in text and "absent is skipped" in text


def test_a_short_measurement_without_any(monkeypatch, capsys):
    """It says what is missing and how to install it, and is no failure."""
    monkeypatch.setattr(measured, "find_spec", lambda name: None)
    monkeypatch.setattr(measured, "peaks_of", lambda asked: [None for _ in asked])
    monkeypatch.setattr(speed, "CIFAR", speed.CIFAR._replace(side=8, batch=(4, 8)))
    monkeypatch.setattr(speed, "views_of", lambda *asked: None)
    assert speed.main(["--short", "--peers", "--parts", "views", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    for name, version in (("semilearn", "0.3.2"), ("modssc", "1.2.2")):
        assert f"- {name} is skipped: it is not installed (pip install {name}=={version}).\n" in said
    assert "| meanteacher: ours, fp32 |" in said and "| fixmatch: ours, fp32 |" in said


def test_they_are_measured_only_where_they_are_asked_for(monkeypatch):
    seen = []
    monkeypatch.setattr(speed, "everything", lambda device, short, parts, *more: seen.append(parts) or {})
    monkeypatch.setattr(speed.timing, "markdown", lambda found: "")
    assert speed.main([]) == speed.main(["--peers"]) == speed.main(["--parts", "peers", "--peers"]) == 0
    assert seen == [[*speed.USUAL], [*speed.USUAL, "peers"], ["peers"]] and "peers" not in speed.USUAL


@pytest.mark.parametrize("alg", measured.METHODS)
def test_a_step_of_semilearn(alg):
    pytest.importorskip("semilearn")
    w = SMALL._replace(side=32)
    peer = Semilearn(w, alg, timing.random_data(w), CPU)
    peer.turn(2)
    assert peer.algorithm.it == 2 and peer.fresh()
    facts = facts_of(functools.partial(Semilearn, w, alg, timing.random_data(w), CPU))
    images = [4, 8, 8] if alg == "meanteacher" else [20]
    assert (
        [one[0] for one in facts["passes"]] == images
        and facts["average"] == pytest.approx(0.001, rel=0.01)
        and facts["consistency"] > 1e-6
    )


@pytest.mark.parametrize("alg", measured.METHODS)
def test_a_step_of_modssc(alg):
    pytest.importorskip("modssc")
    w = SMALL._replace(side=32)
    peer = Modssc(w, alg, timing.random_data(w), CPU)
    with timing.peers.facts.passes(peer.nets()) as found:
        peer.turn(3)
    assert [one.images for one in found] == [4, 8, 8] * 3 and not peer.fresh()
    with pytest.raises(ValueError, match="120 images are not enough for 16 steps of 8"):
        peer.turn(16)
    assert "their values in common: they share their shift and flip" in peer.notes()[2]
    facts = facts_of(functools.partial(Modssc, w, alg, timing.random_data(w), CPU))
    assert facts["consistency"] > 1e-6 and facts["average"] == (pytest.approx(0.001, rel=0.05) if alg == "meanteacher" else None)

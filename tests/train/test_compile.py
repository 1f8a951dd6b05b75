"""Compiled steps against eager ones: the same run, to rounding."""

import dataclasses
import json
import logging
import os
import shutil
import signal

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from ssl_zoo import ALGORITHMS, AUGMENTATIONS, InputError
from ssl_zoo.algorithms.meanteacher import MeanTeacher
from ssl_zoo.data.augment import View, channel_statistics
from ssl_zoo.errors import Interrupted
from ssl_zoo.settings import EvaluationSettings, OptimizerSettings
from ssl_zoo.train import graph
from ssl_zoo.train.compile import compiled, needs_compiler
from ssl_zoo.train.optimizer import make_optimizer, update_
from tests.conftest import STEPPED, TinyNet
from tests.train.test_trainer import FACTS, IMAGES, SETTINGS, Noisy, kill_at, make

COMPILED = dataclasses.replace(SETTINGS, compile=True)


@pytest.fixture
def traced(monkeypatch):
    """The tracing of the real thing, without its code generator."""
    inner = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda of, fullgraph, dynamic, options: inner(of, fullgraph=fullgraph, dynamic=dynamic, backend="aot_eager"),
    )


@pytest.fixture
def recorded(monkeypatch):
    """What is recorded, as it is."""
    monkeypatch.setattr(torch, "compile", lambda of, fullgraph, dynamic, options: of)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_parity(name, tmp_path, settings=SETTINGS, net=TinyNet, views=True):
    """Returns what the compiled run said, and whether its steps were whole: with the views, as on a GPU, or without."""
    said = []
    tmp_path.mkdir(exist_ok=True)
    eager = make(tmp_path / "eager", name, settings, net=net)
    fast = make(tmp_path / "fast", name, dataclasses.replace(settings, compile=True), net=net)
    fast.warn, fast.graph.views = said.append, views
    eager.run(), fast.run()
    assert eager.seconds_compiling is None and fast.seconds_compiling > 0
    for a, b in zip(metrics(tmp_path / "eager"), metrics(tmp_path / "fast"), strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)
    assert eager.algorithm.state_dict().keys() == fast.algorithm.state_dict().keys(), "the checkpoints are exchangeable"
    for (key, a), b in zip(eager.algorithm.state_dict().items(), fast.algorithm.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=lambda said, key=key: f"{key}: {said}")
    return [line for line in said if "compiled" in line], fast.graph.loss is None


@pytest.mark.parametrize("name", STEPPED)
def test_every_method_is_one_graph_and_trains_alike(name, tmp_path, traced):
    assert assert_parity(name, tmp_path) == ([], True)


@pytest.mark.parametrize(
    "more",
    [
        {"optimizer": OptimizerSettings(name="adamw", lr=0.001, weight_decay=0.1)},
        {"optimizer": OptimizerSettings(lr=0.1, clip=0.1)},
        {"optimizer": OptimizerSettings(lr=0.1, clip=0.1, head_lr=0.3), "eval_ema": 0.9},
        {"optimizer": OptimizerSettings(lr=0.1, freeze="body")},
    ],
    ids=["adamw", "clip", "average", "frozen"],
)
def test_all_that_a_step_does_is_in_the_graph(more, tmp_path, recorded):
    settings = dataclasses.replace(SETTINGS, **more)
    assert assert_parity("pimodel", tmp_path, settings, lambda: Noisy(norm=False)) == ([], True)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_compiled_code_trains_alike(tmp_path):
    """Two of one kind in one process: each with tensors of its own."""
    for seed in (0, 1):
        settings = dataclasses.replace(SETTINGS, seed=seed)
        assert assert_parity("meanteacher", tmp_path / str(seed), settings, views=False) == ([], True)


def test_an_eager_run_goes_on_compiled(tmp_path, traced):
    make(tmp_path / "whole", net=TinyNet).run()
    kill_at(make(tmp_path / "run", net=TinyNet), 7)
    again = make(tmp_path / "run", settings=COMPILED, net=TinyNet)
    assert again.start == 4
    again.run()
    for a, b in zip(metrics(tmp_path / "whole"), metrics(tmp_path / "run"), strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)


def test_steps_that_are_looked_into_are_not_compiled(tmp_path, monkeypatch, recorded):
    """A second backward pass through CUDA graphs ends the process, and one node does not tell what its terms count for."""
    compiled_at, looked_at = [], []
    make_step = graph.StepGraph._made

    def made(self, run, inputs, seed):
        compiled_at.append(round(12 * inputs[1].item()) + 1)
        return make_step(self, run, inputs, seed)

    monkeypatch.setattr(graph.StepGraph, "_made", made)
    settings = dataclasses.replace(COMPILED, evaluation=EvaluationSettings(every=5, log_every=4, mechanism=7))
    trainer = make(tmp_path / "run", settings=settings, net=TinyNet)
    inner = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **more: looked_at.append(len(compiled_at)) or inner(*args, **more))
    outcome = trainer.run()
    assert compiled_at == [2, 3, 6, 9, 11], "steps 4, 8, 12 are logged, 5 and 10 evaluated, 7 measured, and one is first"
    assert looked_at and outcome.warnings == [] and trainer.seconds_compiling > 0


def test_a_compiled_run_is_measured_as_any_other(tmp_path, monkeypatch):
    graphs, inner = [], torch.compile

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    monkeypatch.setattr(
        torch, "compile", lambda loss, fullgraph, dynamic, options: inner(loss, fullgraph=fullgraph, backend=backend)
    )
    found = []
    for name, settings in (("eager", SETTINGS), ("fast", COMPILED)):
        evaluation = EvaluationSettings(every=6, log_every=3, mechanism=4)
        make(tmp_path / name, settings=dataclasses.replace(settings, evaluation=evaluation), net=TinyNet).run()
        found.append(metrics(tmp_path / name))
    assert any("mechanism/gradient_ratio" in line for line in found[0]) and len(graphs) == 1, "nothing is compiled anew"
    for a, b in zip(*found, strict=True):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["tempens", "meanteacher"])
def test_no_term_of_a_compiled_loss_is_said_to_do_nothing(name, tmp_path, traced):
    long = dataclasses.replace(COMPILED, steps=40, evaluation=EvaluationSettings(every=20, log_every=2))
    assert make(tmp_path / "run", name, long, net=TinyNet).run().warnings == []


def test_without_a_compiler_it_is_said_before_anything_runs(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"`compile=True` needs a C\+\+ compiler .*install g\+\+, or go on without it"):
        needs_compiler(torch.device("cpu"))


class Counting(MeanTeacher):
    """Counts its steps in a number of Python's."""

    count = 0

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total * (1 + self.count))

    def after_step(self, seen, progress):
        self.count = self.count + 1
        super().after_step(seen, progress)


class Binding(MeanTeacher):
    """Puts another tensor in the place of a buffer."""

    def after_step(self, seen, progress):
        self.teacher.updates = self.teacher.updates.clone()
        super().after_step(seen, progress)


class Asking(MeanTeacher):
    """Waits for a number."""

    def after_step(self, seen, progress):
        if progress.item() >= 0:
            super().after_step(seen, progress)


class Reading(MeanTeacher):
    """Reads a buffer, of which nothing is recorded."""

    def after_step(self, seen, progress):
        if int(self.teacher.updates) < 5:
            super().after_step(seen, progress)


class Listing(MeanTeacher):
    """Reads without any operation."""

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total * (1 + sum(batch.u_index.tolist())))


class Hiding(MeanTeacher):
    """Counts where no attribute tells."""

    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.kept = {"loss": 0}

    def loss(self, batch, progress):
        self.kept["loss"] += 1
        out = super().loss(batch, progress)
        return out._replace(terms={**out.terms, "count": progress * 0 + self.kept["loss"]})


class Listed(MeanTeacher):
    """Keeps tensors in a list."""

    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.history = [torch.ones(())]

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total * self.history[-1], seen={"p": batch.u_index * 0.01})

    def after_step(self, seen, progress):
        self.history.append(0.5 * self.history[-1] + seen["p"].mean())
        super().after_step(seen, progress)


class InList(MeanTeacher):
    """Writes in place into a tensor that a list holds."""

    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.held = [torch.zeros(())]

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(terms={**out.terms, "count": self.held[0].clone()})

    def after_step(self, seen, progress):
        self.held[0].add_(1)
        super().after_step(seen, progress)


class Holder:
    def __init__(self):
        self.n, self.tensors = 0, (torch.zeros(()),)


class InObject(InList):
    """Likewise, of a tuple that an object holds."""

    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.holder = Holder()
        self.held = self.holder.tensors


class Holding(MeanTeacher):
    """Counts in an object, and looks at the count late in the run."""

    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.holder = Holder()

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total * (1 if self.holder.n < 8 else 0.5))

    def after_step(self, seen, progress):
        self.holder.n += 1
        super().after_step(seen, progress)


class Ordering(MeanTeacher):
    """Takes rows in an order that is a buffer, which may be in a graph."""

    def __init__(self, net, facts, **options):
        super().__init__(net, facts, **options)
        self.register_buffer("order", torch.arange(facts.classes - 1, -1, -1))

    def loss(self, batch, progress):
        out = super().loss(batch, progress)
        return out._replace(total=out.total + 0 * self.order[batch.y].sum())


class Masking(MeanTeacher):
    """Has a tensor whose shape depends on values."""

    def after_step(self, seen, progress):
        kept = torch.cat([p.flatten() for p in self.net.parameters()])
        assert len(kept[kept > 0]) > 0
        super().after_step(seen, progress)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (Counting, "a step sets Counting.count, which a graph cannot do"),
        (Binding, "a step sets Teacher.updates, which a graph cannot do; write in place into a buffer"),
        (Asking, "Python reads what is in a tensor (`item`)"),
        (Reading, "Python reads what is in a tensor (`__int__`)"),
        (Listing, "Python reads what is in a tensor (`tolist`)"),
        (Masking, "depends on the values in tensors (aten."),
    ],
)
def test_a_step_that_cannot_be_one_graph_is_made_as_far_as_it_can(broken, why, tmp_path, traced):
    ALGORITHMS.register("broken")(broken)
    said, whole = assert_parity("broken", tmp_path)
    assert not whole and all(why in line for line in said[:2])
    assert said[0].startswith("the views are not part of the compiled step: ")
    assert said[1].startswith("of each step the loss alone is compiled: ")


def test_a_number_that_only_python_knows_is_seen(tmp_path, recorded):
    ALGORITHMS.register("broken")(Hiding)
    made, said = make(tmp_path / "run", "broken", COMPILED, net=TinyNet), []
    made.warn = said.append
    made.run()
    assert made.graph.loss is not None
    why = "a step sets Hiding.kept.loss, which a graph cannot do; write in place into a buffer"
    assert said == [f"of each step the loss alone is compiled: {why}"]


def test_tensors_in_a_list_are_seen(tmp_path, traced):
    ALGORITHMS.register("broken")(Listed)
    said = []
    made = make(tmp_path / "run", "broken", COMPILED, net=TinyNet)
    made.warn = said.append
    made.run()
    why = "a step sets Listed.history, which a graph cannot do; write in place into a buffer"
    assert said[0] == f"of each step the loss alone is compiled: {why}"


@pytest.mark.parametrize("broken", [InList, InObject])
def test_a_tensor_that_python_holds_is_written_once_in_a_step(broken, tmp_path, recorded):
    """To record a step makes it, so what it writes is put back, wherever a method holds it."""
    ALGORITHMS.register("holding")(broken)
    assert assert_parity("holding", tmp_path) == ([], True)


def test_a_number_of_an_object_that_changes_is_seen_before_it_matters(tmp_path, recorded):
    ALGORITHMS.register("broken")(Holding)
    said, whole = assert_parity("broken", tmp_path)
    why = "a step sets Holder.n, which a graph cannot do; write in place into a buffer"
    assert not whole and said[-1] == f"of each step the loss alone is compiled: {why}"


def test_a_buffer_may_be_an_index(tmp_path, recorded):
    ALGORITHMS.register("ordering")(Ordering)
    assert assert_parity("ordering", tmp_path) == ([], True)


@pytest.mark.parametrize("stop", [3, 6])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_a_compiled_run_that_was_killed_ends_with_the_same_bits(stop, momentum, tmp_path, traced):
    """So what is compiled of a step depends on what is in a checkpoint, not on how long a process has run."""
    evaluation = EvaluationSettings(every=3, log_every=12)
    optimizer = OptimizerSettings(lr=0.1, momentum=momentum, nesterov=momentum > 0)
    settings = dataclasses.replace(COMPILED, evaluation=evaluation, optimizer=optimizer)
    whole = make(tmp_path / "whole", settings=settings)
    whole.run()
    first = make(tmp_path / "run", settings=settings)
    inner = first.step

    def step(number, *args):
        if number == stop + 1:
            raise KeyboardInterrupt
        return inner(number, *args)

    first.step = step
    with pytest.raises(KeyboardInterrupt):
        first.run()
    again = make(tmp_path / "run", settings=settings)
    assert again.start == stop
    again.run()
    for (name, one), other in zip(whole.algorithm.state_dict().items(), again.algorithm.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "run")


def test_a_graph_that_fails_after_its_first_step_leaves_all_as_it_was(tmp_path, monkeypatch):
    """As a GPU's, which is captured at its second step."""
    calls = []

    def compile_for_a_while(of, fullgraph, dynamic, options):
        def run(*args):
            calls.append(of)
            if len(calls) == 2:
                of(*args)  # and it has changed everything
                raise RuntimeError("it cannot be captured")
            return of(*args)

        return run if isinstance(of, torch.fx.GraphModule) else of

    monkeypatch.setattr(torch, "compile", compile_for_a_while)
    eager, fast = make(tmp_path / "eager", "comatch"), make(tmp_path / "fast", "comatch", COMPILED)
    fast.warn, fast.graph._trials = calls.append, 3
    eager.run(), fast.run()
    assert "of each step the loss alone is compiled: it cannot be captured" in calls
    for one, other in zip(eager.algorithm.state_dict().values(), fast.algorithm.state_dict().values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_views_that_look_at_values_are_made_outside(tmp_path, recorded):
    def trainer(folder, compile):
        made = make(folder, "meanteacher", dataclasses.replace(SETTINGS, compile=compile), net=TinyNet)
        made.batches.images = IMAGES[..., :1].repeat(1, 1, 1, 2)
        made.batches.views = {"weak": View([AUGMENTATIONS.create("randaugment")], *channel_statistics(IMAGES))}
        return made

    eager, fast, said = trainer(tmp_path / "eager", False), trainer(tmp_path / "fast", True), []
    fast.warn, fast.graph.views = said.append, True
    eager.run(), fast.run()
    (line,) = said
    why = "what it does depends on the values in tensors (aten.nonzero.default)"
    assert line == f"the views are not part of the compiled step: {why}"
    for a, b in zip(eager.algorithm.state_dict().values(), fast.algorithm.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_gpus_batch_norm_is_recorded_with_what_it_writes():
    """cuDNN's writes running statistics and does not say so, and a compiler may leave out what nobody says."""
    mean, x = torch.zeros(3), torch.randn(8, 3, 2, 2)

    def normalised(x):
        ones = torch.ones(3)
        return torch.ops.aten.cudnn_batch_norm(x, ones, torch.zeros(3), mean, ones, True, 0.5, 1e-5)[0]

    recorded = make_fx(normalised, graph.decompositions())(x)
    assert torch.ops.aten.native_batch_norm.default in [node.target for node in recorded.graph.nodes]
    mean.zero_()
    made = torch.compile(recorded, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(mean, x.mean(dim=(0, 2, 3)) / 2)
    torch.testing.assert_close(made.mean(dim=(0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-6)


def test_with_skipped_steps_the_loss_alone_is_compiled(tmp_path, traced):
    said, whole = assert_parity("meanteacher", tmp_path, dataclasses.replace(SETTINGS, on_nan="skip"))
    assert not whole and said == [
        "of each step the loss alone is compiled: with `on_nan=skip` a step looks at its gradient before it goes on"
    ]


def test_what_cannot_be_compiled_leaves_no_trace(tmp_path, monkeypatch):
    """The graph is recorded, which makes a step, and then no code is made of it: the step is made once."""

    def fails(of, fullgraph, dynamic, options):
        def refuse(*args):
            raise RuntimeError("no code for this")

        return refuse if isinstance(of, torch.fx.GraphModule) else of

    monkeypatch.setattr(torch, "compile", fails)
    said, whole = assert_parity("comatch", tmp_path, net=Noisy)
    assert not whole and said[1] == "of each step the loss alone is compiled: no code for this"


def test_where_nothing_can_be_compiled_the_run_goes_on(tmp_path, monkeypatch):
    def fails(of, fullgraph, dynamic, options):
        def refuse(*args):
            raise RuntimeError("no code for this")

        return refuse

    monkeypatch.setattr(torch, "compile", fails)
    said, whole = assert_parity("meanteacher", tmp_path, net=Noisy, views=False)
    assert not whole and said == [
        "of each step the loss alone is compiled: no code for this",
        "nothing of a step is compiled: no code for this",
    ]


@pytest.mark.parametrize(
    "settings",
    [
        OptimizerSettings(lr=0.1),
        OptimizerSettings(lr=0.1, momentum=0.0, nesterov=False),
        OptimizerSettings(lr=0.1, nesterov=False, weight_decay=0.1, head_lr=0.3),
        OptimizerSettings(name="adamw", lr=0.1, weight_decay=0.1),
    ],
)
def test_an_update_in_tensors_is_the_optimisers_own(settings):
    algorithms = []
    for in_tensors in (False, True):
        torch.manual_seed(0)
        algorithm = ALGORITHMS.create("supervised", net=TinyNet(), facts=FACTS)
        optimizer = make_optimizer(algorithm, settings)
        for step in range(5):
            for group in optimizer.param_groups:
                group["lr"] = (group["own"] or settings.lr) / (1 + step)
            for p in algorithm.parameters():
                p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(step))
            if in_tensors and step:
                update_(optimizer, [torch.tensor(group["lr"]) for group in optimizer.param_groups])
            else:
                optimizer.step()
        algorithms.append((algorithm, optimizer))
    (one, first), (other, second) = algorithms
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
        for name, value in first.state[a].items():
            torch.testing.assert_close(value, second.state[b][name], rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler")
def test_compiled_code_draws_as_it_does_without(tmp_path):
    """What a method draws at random. With torch 2.11 its compiler fails on that, and nothing is compiled."""
    assert_parity("ict", tmp_path, views=False)


@pytest.mark.parametrize("alone", [False, True])
def test_a_run_that_compiles_says_so_and_answers_a_signal_at_once(alone, tmp_path, monkeypatch, capsys):
    said = []

    def slow(of, fullgraph, dynamic, options):
        def run(*args):
            os.kill(os.getpid(), signal.SIGINT)
            said.append("compiled")
            return of(*args)

        return run

    monkeypatch.setattr(torch, "compile", slow)
    made = make(tmp_path / "run", "meanteacher", dataclasses.replace(COMPILED, on_nan="skip" if alone else "stop"), net=TinyNet)
    made.warn = said.append
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted, match="ended by SIGINT after step 1, with" if alone else "after step 3, with"):
            made.run()
    finally:
        signal.signal(signal.SIGINT, before)
    answer = "SIGINT: the run ends with a checkpoint as soon as the compiler is done; a second one ends it at once, without"
    assert said[-2:] == [answer, "compiled"]
    assert "compiling" in capsys.readouterr().err


def test_a_signal_between_steps_that_are_compiled_is_not_answered(tmp_path, recorded):
    made, said = make(tmp_path / "run", settings=COMPILED, net=TinyNet), []
    made.warn, inner = said.append, made.batches.batch

    def batch(step):
        if step == 10:
            os.kill(os.getpid(), signal.SIGINT)
        return inner(step)

    made.batches.batch = batch
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(Interrupted, match="after step 11"):
            made.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert said == []


def test_of_what_torch_logs_only_that_there_is_no_gpu_is_kept_back(caplog, recorded):
    compiled(len, torch.device("cpu"))
    log = logging.getLogger("torch.utils.cpp_extension")
    log.warning("No CUDA runtime is found, using CUDA_HOME='%s'", "/usr")
    log.warning("the compiler is too old")
    assert [record.getMessage() for record in caplog.records] == ["the compiler is too old"]

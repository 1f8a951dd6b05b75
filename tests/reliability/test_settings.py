"""Settings under fuzz: every recipe and command line runs, or is one line on the screen and exit status 2. No key is ignored."""

import contextlib
import io
import json
import math
import os
import resource
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ssl_zoo import config, recipes
from ssl_zoo.cli import run, sweep

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def call(main, *argv, status=(0, 2)):
    """Run a command in this process; it must keep its promise. Returns the status, what it printed and what it complained of."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        found = main(list(argv))
    said = error.getvalue().splitlines()
    assert found in status, (argv, found, said)
    if found == 2:
        assert len(said) == 1 and len(said[0]) < 2000, said
        assert said[0].isprintable() and said[0].startswith(("run.py: ", "sweep.py: ")), said
    return found, out.getvalue(), said


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**30, -(10**30), 2**63, 2**64, 10**400, -(10**400)]),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=4),
    st.dates(),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=6
)
KEYS = sorted(recipes.flatten(config.plain(config.resolve({}))))
SECTIONS = sorted({key.rpartition(".")[0] for key in KEYS} - {""})


@FUZZ
@given(
    st.dictionaries(
        st.sampled_from([*KEYS, *SECTIONS, *(key.partition(".")[0] for key in KEYS)]) | st.text(max_size=8), values, max_size=3
    )
)
def test_any_recipe(recipe):
    """A recipe of known and unknown keys with values of any type: what is accepted is there, as it was given, in the settings."""
    with contextlib.suppress(config.InputError):
        nested = {}
        for key, value in recipe.items():
            recipes.put(nested, key, value) if all(key.split(".")) else nested.__setitem__(key, value)
        Path("r.yaml").write_text(yaml.safe_dump(nested, allow_unicode=True), encoding="utf-8")
        status, out, _ = call(run.main, "--recipe", "r.yaml", "--print-config")
        if status == 0:
            resolved = recipes.flatten(yaml.safe_load(out))
            for key, value in recipes.flatten(nested).items():
                if key.split(".")[0] not in ("datasets", "nets", "algorithms", "alg", "net", "dataset") and value not in (
                    {},
                    None,
                ):
                    found = resolved[key]
                    assert str(found) == str(value) or found == value or found == [*value], (key, value, found)


@FUZZ
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_any_file_as_a_recipe(content):
    Path("r.yaml").write_bytes(content)
    call(run.main, "--recipe", "r.yaml", "--print-config")


INDICATORS = st.text(alphabet="abcd: -[]{},&*!|>'\"#%@`\n?~0.e", max_size=60)


@FUZZ
@given(INDICATORS)
@example("a: &x [*x]")
@example("steps: !!python/object/apply:os.system [touch evil]")
@example("steps: !!python/name:os.system")
@example("labels: !!binary aGVsbG8=")
@example("<<: *nothing")
@example("? [a, b]\n: 3")
@example("optimizer: &o {lr: 0.1, <<: *o}")
@example("\n".join([f"{'a' * n}: &{'a' * n} [{', '.join(['*' + 'a' * (n - 1)] * 9) if n > 1 else 'x'}]" for n in range(1, 40)]))
@example("labels: " + "[" * 300 + "]" * 300)
@example("labels: " + "{a: " * 150 + "}" * 150)
@example("labels: 0x_")
@example("labels: !!bool maybe")
@example("labels: !!int ''")
@example("labels: !!float x")
@example("labels: !!timestamp x")
@example("labels: !!set [1]")
@example("labels: !!omap 3")
@example("labels: !unknown 3")
@example("<<: {steps: 1}\n<<: {steps: 2}")
@example("views: {1: {}, '1': {}}")
@example("\n".join(["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 30))]))
@example("".join(f"k{n}: 1\n" for n in range(3000)))
@example("labels: 190:20:30")
@example("labels: " + "9" * 5000)
@example("labels: 2024-13-45")
@example("steps: 1\n---\nsteps: 2")
def test_any_yaml(text):
    """Aliases, tags, documents, merges: nothing is run, nothing explodes."""
    Path("r.yaml").write_text(text, encoding="utf-8")
    call(run.main, "--recipe", "r.yaml", "--print-config")
    assert not Path("evil").exists()


FLAGS = sorted(option for action in run.parser()._actions for option in action.option_strings if option.startswith("--"))
WORDS = st.one_of(
    st.sampled_from(FLAGS),
    st.sampled_from(
        ["meanteacher", "wrn28_2", "digits", "=", "all", "-1", "1e400", "nan", "--", "-", "-h", "null", "a.b=c", "=1", "..="]
    ),
    st.text(max_size=12),
    st.sampled_from(KEYS).flatmap(lambda key: st.text(max_size=8).map(lambda value: f"{key}={value}")),
)


@FUZZ
@given(st.lists(WORDS.filter(lambda word: "\0" not in word), max_size=5))
@example(["--set", "optimizer.lr=[" + "[" * 500])
@example(["--alg", "a\nb"])
@example(["--alg", "\x1b[31mred"])
@example(["--net", "wrn" + "9" * 5000 + "_2"])
@example(["--net", "wrn٣٤_٢"])
@example(["--set", "views.weak.flip=3"])
@example(["--set", "views=null"])
@example(["--set", "views.strong={}"])
@example(["--recipe", "."])
@example(["--recipe", "x" * 5000])
@example(["--plugin", "a\udcff.py"])
@example(["--steps", "1" + "0" * 400])
@example(["--set", "optimizer.lr=1" + "0" * 400])
@example(["--seed", "1", "--set", "seed=2"])
@example(["--data-root", "\udcff"])
def test_any_command_line(words):
    """Nothing is trained: the settings are only printed."""
    argv = [word for word in words if word not in ("--list", "--help", "-h")]
    call(run.main, *argv, "--print-config")


@FUZZ
@given(
    st.sampled_from(["--algs", "--nets", "--labels", "--seeds", "--steps", "--jobs-per-device", "--budget", "--set"]),
    st.text(max_size=12),
)
@example("--seeds", "0-99999999999")
@example("--seeds", "\u0661-\u0663")
@example("--jobs-per-device", "999999999999999999999")
@example("--labels", "20," * 300)
@example("--algs", "supervised\n,x")
def test_any_sweep(flag, text):
    words = {"--algs": "supervised", "--recipe": "digits", "--seeds": "0", "--nets": "smallnet", "--steps": "1"} | {flag: text}
    call(sweep.main, "--dry-run", "--out", "out", *(f"{name}={value}" for name, value in words.items()), status=(0, 1, 2))


NUMBERS = {
    int: [-1, 0, 1, 2, 3, 1000, 10**9, 2**31, 2**63, 10**30],
    float: [-1.0, 0.0, 1e-30, 0.5, 1.0, 2.0, 1e30, math.inf, math.nan],
    bool: [True, False],
    str: ["", "x", "é\n"],
}
PLAIN = recipes.flatten(config.plain(config.resolve({"alg": "tempens", "net": "smallnet"})))
LEFT = ("steps", "data_root", "alg", "net", "dataset", "device", "split_file")  # names; and steps, which would take long


@st.composite
def assignments(draw):
    key = draw(st.sampled_from(sorted(key for key in PLAIN if key not in LEFT)))
    kind = type(PLAIN[key]) if type(PLAIN[key]) in NUMBERS else draw(st.sampled_from([int, float, str]))
    return f"{key}={yaml.safe_dump(draw(st.sampled_from(NUMBERS[kind])), default_flow_style=True).splitlines()[0]}"


@pytest.fixture
def little_memory():
    """An error, not a machine at a standstill, where a value would take gigabytes."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + 2 * 2**30, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the limit on memory is Linux's")
@pytest.mark.usefixtures("little_memory")
@settings(FUZZ, max_examples=200)
@given(st.lists(assignments(), min_size=1, max_size=2))
@example(["batch.labeled=1000000000"])
@example(["batch.unlabeled=1000000000000000000000"])
@example(["evaluation.batch=10000000000000000000000"])
@example(["optimizer.lr=1e30"])
@example(["algorithms.tempens.alpha=1"])
@example(["views.weak.affine.shift=1000000000"])
def test_any_value_runs_or_is_refused(words):
    """For real: two steps of a run. One that had begun may end with status 1 and one line, as when it diverges."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [word for assignment in words for word in ("--set", assignment)]
        status, _, said = call(
            run.main,
            *("--alg", "tempens", "--net", "smallnet", "--steps", "2", "--device", "cpu", "--set", "evaluation.unlabeled=10"),
            *argv,
            *("--out", os.path.join(folder, "run")),
            status=(0, 1, 2),
        )
        if status == 0:
            row = json.loads((Path(folder) / "run/result.json").read_text())
            given_here = recipes.flatten(row["config"])
            for assignment in words:
                key, _, text = assignment.partition("=")
                value, kept = yaml.safe_load(text), given_here[key]
                rounded = isinstance(kept, float) and isinstance(value, int) and kept == float(value)
                assert kept == value or str(kept) == str(value) or rounded or assignment != words[-1]
        else:
            assert said[-1].startswith("run.py: ") and "Traceback" not in " ".join(said)


@pytest.mark.parametrize("key", sorted({key.rpartition(".")[0] for key in KEYS}))
def test_a_key_that_is_not_known_is_never_ignored(key):
    """One unknown key, at any depth."""
    recipe: dict = {}
    recipes.put(recipe, f"{key}.learning_rat" if key else "learning_rat", 3)
    Path("r.yaml").write_text(yaml.safe_dump(recipe))
    said = call(run.main, "--recipe", "r.yaml", "--print-config", status=(2,))[2]
    assert "learning_rat" in said[0]

"""fit and predict: a run, told as scikit-learn tells it."""

import os
import pickle
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ssl_zoo
from ssl_zoo import InputError, SSLClassifier
from ssl_zoo.data.arrays import as_dataset
from ssl_zoo.estimator import classifier
from ssl_zoo.runs.inputs import find_flaws
from ssl_zoo.runs.report import summary

QUICK = {"steps": 4, "device": "cpu", "settings": {"batch.labeled": 6, "batch.unlabeled": 8, "threads": 1}}


def images(n=40, channels=1):
    """Of two classes, dark and bright, of which every second is labelled."""
    draw = np.random.default_rng(0)
    y = np.arange(n) // 2 % 2
    X = (draw.integers(0, 100, (n, 8, 8, channels)) + 100 * y[:, None, None, None]).astype(np.uint8)
    return X, np.where(np.arange(n) % 2, -1, y), y


def points(n=40):
    """Features of two classes, of which every second is labelled."""
    y = np.arange(n) // 2 % 2
    X = np.random.default_rng(0).normal(size=(n, 3)) + 6 * y[:, None]
    return X, np.where(np.arange(n) % 2, -1, y), y


def quick(method="meanteacher", **more):
    return SSLClassifier(method, **{**QUICK, **more})


def same(one, other):
    """Whether two trained nets have the same bits."""
    a, b = one.net.state_dict(), other.net.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("method", ["supervised", "pimodel", "tempens", "meanteacher"])
def test_a_fit_is_a_run(method, tmp_path):
    """The same bits, whatever that run scores; and another seed gives others."""
    X, y, truth = images()
    fitted = quick(method, random_state=3).fit(X, y)
    settings = ssl_zoo.recipe(
        "digits", alg=method, net="smallnet", seed=3, labels="all", steps=4, device="cpu", **QUICK["settings"]
    )
    row = ssl_zoo.run(settings, tmp_path / "run", data=(X, y, 255 - X, truth), quiet=True)
    run = ssl_zoo.load(tmp_path / "run", device="cpu")
    assert same(fitted.trained_, run) and (fitted.predict_proba(X) == run.predict_proba(X)).all()
    assert fitted.row_["split_hash"] == row["split_hash"] and fitted.row_["source"] == row["source"]
    assert same(fitted.trained_, quick(method, random_state=3).fit(X, y).trained_)
    assert not same(fitted.trained_, quick(method, random_state=4).fit(X, y).trained_)


def test_all_rows_labelled_and_supervised_is_the_supervised_run(tmp_path):
    X, _, truth = images()
    fitted = quick("supervised").fit(X, truth)
    settings = ssl_zoo.recipe(
        "digits", alg="supervised", net="smallnet", labels="all", steps=4, device="cpu", **QUICK["settings"]
    )
    ssl_zoo.run(settings, tmp_path / "run", data=(X, truth, X[:2], truth[:2]), quiet=True)
    assert same(fitted.trained_, ssl_zoo.load(tmp_path / "run", device="cpu"))
    assert (fitted.transduction_ == truth).all()


def test_features_are_a_run_on_their_levels(tmp_path):
    X, y, _ = points()
    fitted = quick().fit(X, y)
    pixels = fitted._levels(X)
    settings = ssl_zoo.recipe("features", steps=4, device="cpu", **QUICK["settings"])
    ssl_zoo.run(settings, tmp_path / "run", data=(pixels, y, pixels[:2], [0, 1]), quiet=True)
    run = ssl_zoo.load(tmp_path / "run", device="cpu")
    assert same(fitted.trained_, run) and (fitted.predict_proba(X) == run.predict_proba(pixels)).all()


def test_what_is_known_after_a_fit():
    X, y, _ = images()
    fitted = quick().fit(X, y)
    assert fitted.classes_.tolist() == [0, 1] and fitted.n_iter_ == 4 and fitted.n_features_in_ == 64
    proba = fitted.predict_proba(X)
    assert proba.shape == (40, 2) and np.allclose(proba.sum(axis=1), 1, atol=1e-6)
    assert (fitted.predict(X) == fitted.classes_[proba.argmax(axis=1)]).all()
    assert fitted.trained_.classes == ("0", "1") and fitted.trained_.image_size == (8, 8)


def test_given_labels_are_kept_whatever_the_net_says():
    X, y, truth = images()
    wrong = np.where(y < 0, -1, 1 - truth)
    wrong[:4] = y[:4]
    fitted = quick(steps=60).fit(X, y)  # which learns the truth
    given = fitted.transduction_
    assert (given[y >= 0] == y[y >= 0]).all() and (given[y < 0] == fitted.predict(X)[y < 0]).all()
    assert (given == truth).all()
    other = quick(steps=1).fit(X, wrong)
    assert (other.transduction_[wrong >= 0] == wrong[wrong >= 0]).all() and (other.predict(X) != other.transduction_).any()


def test_the_row_says_that_training_images_were_scored_and_nobody_is_warned_of_it():
    X, y, _ = images()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = quick().fit(X, y)
    row = fitted.row_
    assert row["scored"] == "training" and row["selection"] == "last" and sum(row["confusion"]["count"]) == 20
    assert row["leaked_test_images"] == 0 and "training accuracy" in repr(fitted.trained_)
    assert "20 training images scored: it says nothing of others" in summary(row, Path("run"))


def test_few_of_many_labelled_rows_stand_for_a_test_set(monkeypatch):
    monkeypatch.setattr(classifier, "SCORED", 7)
    X, _, truth = images()
    row = quick("supervised").fit(X, truth).row_
    assert sum(row["confusion"]["count"]) == 7 and row["config"]["labels"] == "all"


def test_only_training_images_are_looked_at_for_contradictions():
    X, _, truth = images()
    X[1] = X[2]  # of another class
    with pytest.warns(UserWarning, match="2 images have the same pixels as an image of another class") as said:
        quick("supervised").fit(X, truth)
    assert said[0].filename == __file__, "the warning shows who called fit"
    with pytest.raises(InputError, match="2 images have the same pixels"):
        quick("supervised", settings={"strict": True}).fit(X, truth)


def test_a_test_set_of_training_images_is_no_flaw_where_it_is_meant():
    from ssl_zoo.runs.inputs import choose_labels

    X, y, _ = images()
    data = as_dataset(X, y, X[::2], y[::2])
    settings = ssl_zoo.recipe("digits", labels="all")
    leaked, flaws = find_flaws(choose_labels(settings, data))
    assert leaked == 20 and len(flaws) == 1
    assert find_flaws(choose_labels(settings, data._replace(fitted=True))) == (0, [])


@pytest.mark.parametrize(
    ("names", "unknown", "kind"),
    [
        (["ant", "bee"], None, object),
        (["ant", "bee"], float("nan"), object),
        ([-5, 7], -1, int),
        ([2.0, 1.0], float("nan"), float),
        ([False, True], None, object),
    ],
)
def test_labels_of_any_type(names, unknown, kind):
    X, y, truth = images()
    given = np.array([unknown if k < 0 else names[k] for k in y], kind)
    fitted = quick("supervised", steps=60).fit(X, given)
    assert fitted.classes_.tolist() == sorted(names)
    assert fitted.predict(X).tolist() == [names[k] for k in truth] and fitted.score(X, given) == 1
    assert fitted.trained_.classes == tuple(map(str, sorted(names)))
    if names == [-5, 7]:  # in the same order as 0 and 1
        assert same(fitted.trained_, quick("supervised", steps=60).fit(X, y).trained_)


def test_a_score_counts_the_rows_that_have_a_label():
    X, y, truth = images()
    fitted = quick("supervised", steps=60).fit(X, y)
    half = np.where(np.arange(40) < 20, 1 - truth, truth)  # half wrong
    assert fitted.score(X, half) == 0.5 and fitted.score(X, np.where(np.arange(40) < 30, -1, half)) == 1
    assert fitted.score(X, half, sample_weight=np.where(np.arange(40) < 20, 1, 3)) == 0.75
    with pytest.raises(InputError, match="nothing to score"):
        fitted.score(X, np.full(40, -1))
    with pytest.raises(InputError, match="sample_weight is 0 for all labelled rows"):
        fitted.score(X, y, sample_weight=y == -1)


@pytest.mark.parametrize(
    ("y", "weight", "message"),
    [
        (slice(None), [1, 2], r"sample_weight.shape == \(2,\), expected \(40,\)"),
        (slice(None), np.ones(41), r"sample_weight.shape == \(41,\), expected \(40,\)"),
        (slice(None), np.ones((40, 2)), "Sample weights must be 1D array or scalar"),
        (slice(None), np.full(40, np.nan), "sample_weight contains NaN"),
        (slice(30), None, r"inconsistent numbers of samples: \[40, 30\]"),
        (np.r_[:40, :9], None, r"inconsistent numbers of samples: \[40, 49\]"),
    ],
)
def test_a_score_of_unequal_lengths_is_refused(y, weight, message):
    X, labels, _ = images()
    fitted = quick().fit(X, labels)
    with pytest.raises(ValueError, match=message):
        fitted.score(X, labels[y], sample_weight=weight)


def test_a_fit_on_images_has_no_names_of_features():
    fitted = quick().fit(*points()[:2])
    fitted.feature_names_in_ = np.array(["a", "b", "c"], dtype=object)  # as a fit to a table of pandas leaves them
    assert not hasattr(fitted.fit(*images()[:2]), "feature_names_in_") and fitted.n_features_in_ == 64


def test_paths_and_pil_images(tmp_path):
    X, y, _ = images(16, 3)
    shown = [Image.fromarray(image) for image in X]
    paths = [tmp_path / f"{k}.png" for k in range(16)]
    for path, image in zip(paths, shown, strict=True):
        image.save(path)
    of_arrays = quick().fit(X, y)
    for files in (paths, list(map(str, paths)), np.array(list(map(str, paths))), shown):
        fitted = quick().fit(files, y)
        assert same(fitted.trained_, of_arrays.trained_) and (fitted.predict(files) == of_arrays.predict(X)).all()


def test_files_are_resized_by_fit_and_by_predict_alike(tmp_path):
    X, y, _ = images(16, 3)
    large = [Image.fromarray(image).resize((20, 16)) for image in X]
    fitted = quick(image_size=8).fit(large, y)
    assert fitted.trained_.image_size == (8, 8) and fitted.predict(large[:3]).shape == (3,)
    assert (fitted.transduction_[y < 0] == fitted.predict(large)[y < 0]).all()
    with pytest.raises(InputError, match="give `image_size`"):
        quick().fit([*large[:3], Image.new("RGB", (8, 8))] * 4, y)
    with pytest.raises(InputError, match="`image_size` is for paths"):
        quick(image_size=8).fit(X, y)
    with pytest.raises(InputError, match="`image_size` is for paths"):
        quick(image_size=8).fit(*points()[:2])


def test_iris_with_fifteen_labels():
    X, truth = load_iris(return_X_y=True)
    y = np.full(150, -1)
    for k in range(3):
        y[50 * k : 50 * k + 5] = k
    scale = np.array([1e-3, 1.0, 1e6, 30.0])
    fitted = SSLClassifier(steps=150, device="cpu", settings={"threads": 1}).fit(X * scale + 7, y)
    assert fitted.score((X * scale + 7)[y < 0], truth[y < 0]) > 0.8 and fitted.n_features_in_ == 4


def test_a_copy_an_archive_and_a_copy_that_is_not_fitted(monkeypatch):
    X, y, _ = images()
    fitted = quick().fit(X, y)
    kept = pickle.dumps(fitted)
    proba = fitted.predict_proba(X)
    again = pickle.loads(kept)
    assert (again.predict_proba(X) == proba).all() and same(again.trained_, fitted.trained_)
    assert again.trained_ is again.trained_, "it is read once"
    assert len(kept) < 1.5 * len(fitted._model) + 50_000, "one net, and no pickled module"
    assert (pickle.loads(pickle.dumps(again)).transduction_ == fitted.transduction_).all()
    new = clone(fitted)
    assert new.get_params() == fitted.get_params() and not hasattr(new, "classes_")
    with pytest.raises(NotFittedError):
        new.predict(X)
    with pytest.raises(NotFittedError):
        _ = new.trained_
    assert pickle.loads(pickle.dumps(new)).get_params() == fitted.get_params()


def test_a_search_over_parameters_in_a_pipeline():
    X, y, _ = points()
    pipe = make_pipeline(StandardScaler(), quick("supervised", steps=2))
    grid = {"sslclassifier__steps": [1, 2], "sslclassifier__method": ["supervised", "meanteacher"]}
    found = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, y)
    assert found.best_params_.keys() == grid.keys() and len(found.cv_results_["mean_test_score"]) == 4
    assert found.predict(X).shape == (40,)


def test_cross_validation_scores_what_is_labelled():
    X, y, _ = images()
    scores = cross_val_score(quick("supervised", steps=60), X, y, cv=2, error_score="raise")
    assert scores.tolist() == [1, 1], "though half the rows of a fold have no label"


def test_nothing_is_left_behind(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()
    X, y, _ = images()
    quick().fit(X, y)
    assert not [*tmp_path.iterdir()] and capfd.readouterr() == ("", "")
    assert torch.equal(torch.random.get_rng_state(), before[0]) and (np.random.get_state()[1] == before[1]).all()
    assert torch.get_num_threads() == before[2]


def test_a_folder_keeps_the_run(tmp_path):
    X, y, _ = images()
    fitted = quick(folder=tmp_path / "run").fit(X, y)
    assert same(ssl_zoo.load(tmp_path / "run", device="cpu"), fitted.trained_)
    before = (tmp_path / "run/result.json").stat().st_mtime_ns
    assert same(quick(folder=str(tmp_path / "run")).fit(X, y).trained_, fitted.trained_)
    assert (tmp_path / "run/result.json").stat().st_mtime_ns == before, "it is finished already"
    for other, data in ((quick(folder=tmp_path / "run", steps=5), X), (quick(folder=tmp_path / "run"), 255 - X)):
        with pytest.raises(InputError, match=r"choose another folder$"):
            other.fit(data, y)
    with pytest.raises(InputError, match="folder = 3 is no path"):
        quick(folder=3).fit(X, y)


def test_a_fit_that_is_verbose_says_what_a_run_says(capfd):
    X, y, _ = images()
    quick(verbose=1).fit(X, y)
    said = capfd.readouterr()
    stream = "40 in the unlabelled stream (with the 20 labelled ones)"
    assert f"20 labelled images, {stream}, 20 of them scored too" in said.out and "4/4" in said.err


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_signal_ends_a_search_too(number, error, monkeypatch):
    """A RunError would be the failure of one fit, after which the next begins."""
    target = ssl_zoo.ALGORITHMS.resolve("supervised").target
    monkeypatch.setattr(target, "after_step", lambda *given: os.kill(os.getpid(), number))
    X, y, _ = points()
    with pytest.raises(error) as raised:
        GridSearchCV(quick("supervised"), {"steps": [3, 4]}, cv=2).fit(X, y)
    if error is SystemExit:
        assert raised.value.code == 128 + signal.SIGTERM


def test_a_refused_fit_leaves_an_earlier_one(tmp_path):
    X, y, _ = images()
    fitted = quick().fit(X, y)
    proba = fitted.predict_proba(X)
    fitted.set_params(method="meanteecher")
    with pytest.raises(InputError, match=re.escape("did you mean 'meanteacher'?")):
        fitted.fit(X, y)
    assert (fitted.predict_proba(X) == proba).all()


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.full(40, -1), "no row of y is labelled"),
        (np.zeros(40, int), "labels have one class; a classifier needs two or more"),
        (np.zeros(39, int), "inconsistent numbers of samples"),
    ],
)
def test_wrong_labels(y, said):
    with pytest.raises(ValueError, match=said):
        quick().fit(images()[0], y)


def test_what_does_not_fit_what_was_fitted():
    X, y, _ = images()
    of_images, of_points = quick().fit(X, y), quick().fit(*points()[:2])
    with pytest.raises(InputError, match="the net takes 8 x 8 x 1"):
        of_images.predict(np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(InputError, match=r"images has the shape \(2, 3\)"):
        of_images.predict(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="X has 4 features, but SSLClassifier is expecting 3"):
        of_points.predict(np.zeros((2, 4)))


def test_it_comes_when_it_is_asked_for(tmp_path):
    code = "import sys, ssl_zoo; assert 'sklearn' not in sys.modules; ssl_zoo.SSLClassifier; assert 'sklearn' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(ssl_zoo.__file__).parent.parent)

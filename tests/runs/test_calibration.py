"""One temperature makes confidences mean what they say; where that cannot be known, it is said."""

import json
import tracemalloc

import numpy as np
import pytest

import ssl_zoo
from ssl_zoo.errors import InputError
from ssl_zoo.runs.calibration import FEWEST, calibrate, softmax
from ssl_zoo.runs.model import read_model
from ssl_zoo.train.evaluate import calibration_error


def drawn(classes, count, sharpness, seed=0):
    """Logits, too large by a factor, of classes that are drawn from the true ones."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(count, classes))
    return sharpness * logits, np.array([rng.choice(classes, p=p) for p in softmax(logits)])


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("sharpness", [0.5, 1, 3])
def test_a_temperature_that_is_known_is_found(classes, sharpness):
    found = calibrate(*drawn(classes, 3000, sharpness))
    assert found["temperature"] == pytest.approx(sharpness, rel=0.08) and (found["images"], found["why_not"]) == (3000, "")
    logits, labels = drawn(classes, 3000, sharpness, seed=1)
    after = calibration_error(softmax(logits / found["temperature"]), labels)
    assert after < 0.03 and (sharpness == 1 or after < calibration_error(softmax(logits), labels) / 2)


@pytest.mark.parametrize(("classes", "sharpness"), [(2, 3), (3, 0.5), (10, 2)])
def test_the_temperature_is_that_of_scikit_learn(classes, sharpness):
    pytest.importorskip("sklearn", "1.8")
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV

    class Given(ClassifierMixin, BaseEstimator):
        """A classifier whose decision is what it is asked about."""

        def fit(self, logits, labels):
            self.classes_ = np.unique(labels)
            return self

        def decision_function(self, logits):
            return (logits[:, 1] - logits[:, 0]) / 2 if classes == 2 else logits  # of two it takes x, for (-x, x)

        def predict(self, logits):
            return logits.argmax(axis=1)

    logits, labels = drawn(classes, 300, sharpness)
    whole = [(np.arange(300), np.arange(300))]  # nothing is fitted but the temperature, so nothing is left out
    found = CalibratedClassifierCV(Given(), method="temperature", cv=whole, ensemble=False).fit(logits, labels)
    beta = float(found.calibrated_classifiers_[0].calibrators[0].beta_)
    assert calibrate(logits, labels)["temperature"] == pytest.approx(1 / beta, rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_many_classes_take_no_more_than_their_logits():
    """What grows with the square of the classes would take 72 MB for each copy; the logits are 1.4 MB."""
    logits, labels = drawn(3000, FEWEST + 10, 2)
    tracemalloc.start()
    found = calibrate(logits, labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found["why_not"] == "" and peak < 6 * logits.nbytes


def test_logits_that_are_large_or_say_nothing():
    logits, labels = drawn(3, 200, 2)
    assert calibrate(3e4 * logits, labels)["temperature"] == pytest.approx(np.exp(10), rel=1e-3)  # no more than this
    assert calibrate(np.tile([0.0, -1e300, 1e300], (200, 1)), labels)["temperature"] > 1
    assert calibrate(np.zeros((200, 3)), labels)["temperature"] > 0


def test_classes_that_no_image_has_change_nothing():
    logits, labels = drawn(3, 400, 2)
    wide = np.concatenate((logits, np.full((400, 2), -1e3)), axis=1)
    assert calibrate(wide, labels)["temperature"] == pytest.approx(calibrate(logits, labels)["temperature"], rel=1e-4)


def test_too_few_images_and_none_that_is_wrong_say_nothing():
    logits, labels = drawn(3, FEWEST - 1, 2)
    few, none = calibrate(logits, labels), calibrate(np.empty((0, 3)), labels[:0])
    takes = "that takes 50 labelled images held out for validation"
    assert few["why_not"] == f"{takes}, not 49, such as `val_fraction=0.5` of 100"
    shares = [calibrate(logits[:32], labels[:32], others)["why_not"].rpartition(", ")[2] for others in (168, 169)]
    assert shares == ["such as `val_fraction=0.25` of the 200", "such as `val_fraction=0.25` of the 201"]
    assert calibrate(logits[:1], labels[:1], 99)["why_not"] == f"{takes}, not 1, such as `val_fraction=0.5` of the 100"
    assert none["why_not"] == f"{takes}, such as `val_fraction=0.5` of 100"
    many = np.concatenate((logits, logits))
    right = calibrate(many, many.argmax(axis=1))
    assert "all 98 images that were held out are right" in right["why_not"]
    assert few["temperature"] == none["temperature"] == right["temperature"] == 1


@pytest.mark.parametrize("selection", ["last", "validation"])
def test_a_run_keeps_it_in_the_model_s_file(tmp_path, selection):
    """Found on the images to validate by, with the weights that are reported; it changes no class."""
    given = {"labels": 400, "steps": 30, "val_fraction": 0.2, "selection": selection, "evaluation.every": 10}
    settings = ssl_zoo.recipe("digits", alg="supervised", net="smallnet", device="cpu", **given)
    row = ssl_zoo.run(settings, tmp_path, quiet=True)
    trained = ssl_zoo.load(tmp_path, "cpu")
    known = trained.about["calibration"]
    assert known["images"] == 80 and known["why_not"] == "" and known["temperature"] == trained.temperature != 1
    split = json.loads((tmp_path / "split.json").read_text())
    data = ssl_zoo.DATASETS.create("digits", tmp_path)
    held_out = np.array(split["validation"])
    plain, found = (trained.predict_proba(data.images[held_out], calibrated=which) for which in (False, True))
    wanted = plain.astype(np.float64) ** (1 / known["temperature"])
    assert found == pytest.approx(wanted / wanted.sum(axis=1, keepdims=True), abs=1e-5)
    labels = data.labels[held_out]
    assert (plain.argmax(axis=1) == labels).mean() == row["validation_accuracy"]
    assert calibration_error(plain, labels) == pytest.approx(known["error_before"], abs=1e-6)
    assert calibration_error(found, labels) == pytest.approx(known["error_after"], abs=1e-6)
    assert calibrate(np.log(plain), labels)["temperature"] == pytest.approx(known["temperature"], rel=1e-3)


def test_a_damaged_temperature_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    settings = ssl_zoo.recipe("digits", net="smallnet", steps=2, device="cpu")
    ssl_zoo.run(settings, tmp_path, quiet=True)
    about = read_model(tmp_path / "model.safetensors").about
    about["calibration"]["temperature"] = 0.0
    save_file(load_file(tmp_path / "model.safetensors"), tmp_path / "x.safetensors", {"ssl_zoo": json.dumps(about)})
    with pytest.raises(InputError, match="is damaged: its calibration"):
        ssl_zoo.load(tmp_path / "x.safetensors")

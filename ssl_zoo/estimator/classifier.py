"""The classifier. `fit` is a run: the same path, and on a CPU the same bits, as `ssl_zoo.run` on the same arrays."""

import contextlib
import os
import signal
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data

from ssl_zoo.data.arrays import as_dataset
from ssl_zoo.data.dataset import Dataset
from ssl_zoo.errors import ANEW, FolderError, InputError, Interrupted
from ssl_zoo.estimator.choices import settings_of
from ssl_zoo.estimator.images import Kind, Levels, holds_files, image_size, kind_of, read_pixels
from ssl_zoo.estimator.labels import Labels, read_labels
from ssl_zoo.runs import trained
from ssl_zoo.runs.execute import execute
from ssl_zoo.runs.folder import RunFolder
from ssl_zoo.runs.row import Row
from ssl_zoo.settings import RunSettings

SCORED = 1000  # labelled rows, at most, that fill the place of a test set in a run


class SSLClassifier(ClassifierMixin, BaseEstimator):
    """A net that learns from labelled and unlabelled rows, as scikit-learn's estimators do.

    In `y`, -1 (the number), None and NaN mean unlabelled, and all labelled rows train. `X` is what the net is to see:

    - images: (n, H, W) or (n, H, W, C), uint8 or floats in [0, 1];
    - a list of paths of image files, or of PIL images, made RGB, and resized if `image_size` says so;
    - features: (n, D) numbers of any scale, which are standardised inside and kept in 8 bits: 256 levels between the
      lowest and the highest training value and a tenth beyond, and no farther than six interquartile ranges from the
      quartiles. Take logarithms of features that span magnitudes first.

    A constructor's parameters are named in its signature, as scikit-learn wants it, so whatever else a run can be told
    is in one of them: `settings={"optimizer.lr": 0.01}`. This deviates from `ssl_zoo.recipe`, which takes it by
    keyword.

    Args:
        method: By its registered name: supervised, pimodel, tempens, meanteacher.
        net: By its registered name. auto: that of the recipe, where one is named; otherwise mlp for features, smallnet
            for images up to 16x16, torchvision:mobilenet_v3_small for those of 64x64 or more and three channels
            (pretrained, where its weights can be had), and wrn28_2 for all others.
        steps: Updates of the net. None: the recipe's, where one is named; otherwise 600.
        minutes: That a fit may take, in place of steps.
        recipe: Name or file of a recipe, or several. auto, or None: features, photos (which mirrors images) where the
            net is the pretrained one, and otherwise digits (which does not).
        random_state: Seed of the run; or a generator, or None for numpy's own, from which one is drawn.
        device: auto, cpu, cuda or cuda:N.
        settings: Any other settings of a run, by dotted keys.
        image_size: Side, or height and width, to which files are resized. None: they have one size.
        folder: Where the run is kept: its curves, checkpoint, settings and net. There a fit resumes, and one with other
            data or parameters is refused. None: a temporary one.
        verbose: 0: warnings only; 1: what a run prints, with a bar.

    Attributes:
        classes_: (K,) labels, sorted.
        transduction_: (n,) labels of the training rows: those that were given, and otherwise the predicted ones.
        n_iter_: Steps that were made.
        n_features_in_: Features, or numbers of an image.
        trained_: The trained net, as `ssl_zoo.load` returns it.
        row_: Of the run. Its scores are of training rows, and say nothing of others: see `scored` in it.
    """

    def __init__(
        self,
        method: str = "meanteacher",
        net: str = "auto",
        *,
        steps: int | None = None,
        minutes: float | None = None,
        recipe: str | os.PathLike | list[str] | None = "auto",
        random_state: Any = 0,
        device: str = "auto",
        settings: Mapping[str, Any] | None = None,
        image_size: int | tuple[int, int] | None = None,
        folder: str | os.PathLike | None = None,
        verbose: int = 0,
    ):
        self.method, self.net, self.steps, self.minutes, self.recipe = method, net, steps, minutes, recipe
        self.random_state, self.device, self.settings, self.image_size = random_state, device, settings, image_size
        self.folder, self.verbose = folder, verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True  # images; (n, H, W, C) too, for which there is no tag
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Train a net.

        Args:
            X: (n, D) features, (n, H, W) or (n, H, W, C) images, or a list of paths or of PIL images.
            y: (n,) labels, with -1, None or NaN where unknown.

        Raises:
            ValueError: A parameter, X or y cannot be used.
            RunError: The run cannot go on, as when its loss is not finite.
        """
        kind, size = kind_of(X), image_size(self.image_size)
        pixels, levels = self._training_pixels(X, kind, size)
        labels = read_labels(y)
        check_consistent_length(pixels, labels.known)
        if not len(labels.values):
            raise InputError("no row of y is labelled; give some rows a label")
        classes, codes = np.unique(labels.values, return_inverse=True)
        settings = settings_of(self.get_params(), pixels.shape[1:], kind == "features", size)
        data = data_of(pixels, labels, codes, classes)
        row = self._run(settings, data)
        self.classes_, self.row_, self.n_iter_, self._levels = classes, row, row["steps"], levels
        if kind != "features":
            self.n_features_in_ = int(np.prod(pixels.shape[1:]))
            vars(self).pop("feature_names_in_", None)  # of an earlier fit, to features
        self.transduction_ = classes[self._trained.predict_proba(pixels).argmax(axis=1)]
        self.transduction_[labels.known] = classes[codes]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the probabilities of the classes, (n, K) float32, in the order of `classes_`."""
        check_is_fitted(self)
        if self._levels is None:
            return self.trained_.predict_proba(list(X) if holds_files(X) else X)
        return self.trained_.predict_proba(self._levels(validate_data(self, X, reset=False, dtype=np.float64)))

    def predict(self, X: Any) -> np.ndarray:
        """Return the likeliest labels, (n,)."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy on the rows whose label is known; others, as of a fold's, are left out.

        Args:
            X: As of `fit`.
            y: (n,) labels, with -1, None or NaN where unknown.
            sample_weight: (n,) weights, or None.

        Raises:
            ValueError: No label is known, or X, y or sample_weight cannot be used, or they differ in length.
        """
        labels = read_labels(y)
        check_consistent_length(X, labels.known)
        weights = _check_sample_weight(sample_weight, labels.known, dtype=np.float64)[labels.known]
        if not len(labels.values):
            raise InputError("no row of y is labelled, so there is nothing to score")
        if weights.sum() == 0:
            raise InputError("sample_weight is 0 for all labelled rows, so there is nothing to score")
        right = self.predict(_safe_indexing(X, np.flatnonzero(labels.known))) == labels.values
        return float(np.average(right, weights=weights))

    @property
    def trained_(self) -> trained.Trained:
        """The trained net."""
        check_is_fitted(self)
        if self._trained is None:
            with tempfile.TemporaryDirectory(prefix="ssl_zoo-") as folder:
                path = RunFolder(Path(folder)).model
                path.write_bytes(self._model)
                self._trained = trained.load(path, self.device)
        return self._trained

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        return state | {"_trained": None} if "_trained" in state else state  # the file is safer than a pickled net, and enough

    def _training_pixels(self, X: Any, kind: Kind, size: tuple[int, int] | None) -> tuple[np.ndarray, Levels | None]:
        """Images (n, H, W, C) uint8, and how they were made of features."""
        if kind != "features":
            return read_pixels(X, kind, size), None
        if size is not None:
            raise InputError("`image_size` is for paths and PIL images, and X has features; leave it out")
        features = validate_data(self, X, dtype=np.float64)
        levels = Levels.fit(features)
        return levels(features), levels

    def _run(self, settings: RunSettings, data: Dataset) -> Row:
        """Make the run, keep its net, and return its row."""
        said: list[str] = []
        with self._place() as folder, torch.random.fork_rng(devices=[]):  # the caller's generator stays as it was
            try:
                row = execute(settings, folder, data=data, quiet=not self.verbose, warn=said.append)
            except Interrupted as error:  # a search goes on after other errors, and is to end
                kept = "" if self.folder is None else str(error)
                raise KeyboardInterrupt(kept) if error.number == signal.SIGINT else SystemExit(error.status) from error
            except FolderError as error:
                raise InputError(_in_words(str(error))) from error
            self._trained = trained.load(folder, self.device)
            self._model = RunFolder(folder).model.read_bytes()  # which a copy of the estimator takes along
        for line in said:
            warnings.warn(_in_words(line), UserWarning, stacklevel=3)
        return row

    @contextlib.contextmanager
    def _place(self) -> Iterator[Path]:
        """The run's folder."""
        if self.folder is None:
            with tempfile.TemporaryDirectory(prefix="ssl_zoo-") as folder:
                yield Path(folder)
        elif isinstance(self.folder, str | os.PathLike):
            yield Path(os.path.expanduser(self.folder))
        else:
            raise InputError(f"folder = {self.folder!r:.100} is no path; give one, or None for a temporary one")


def data_of(pixels: np.ndarray, labels: Labels, codes: np.ndarray, classes: np.ndarray) -> Dataset:
    """Return the data of a run in which all labels train.

    A run scores a test set, and there is none: what could be one is to be learnt from. So some of the labelled rows
    stand in its place, as they are at hand. Nothing is chosen by them, and the row says that it is training images that
    were scored.

    Args:
        pixels: (n, H, W, C) uint8.
        labels: Of the rows.
        codes: Of the known labels, their places in the classes.
        classes: (K,) labels.
    """
    numbers = np.full(len(pixels), -1)
    numbers[labels.known] = codes
    rows = np.flatnonzero(labels.known)
    rows = rows[:: -(-len(rows) // SCORED)]
    return as_dataset(pixels, numbers, pixels[rows], numbers[rows], map(str, classes.tolist()))._replace(fitted=True)


def _in_words(text: str) -> str:
    """What a run says, without a way out that an estimator does not have."""
    return text.replace(f", or give {ANEW}", "").replace("`fresh=True` trains", "an empty `folder` trains")

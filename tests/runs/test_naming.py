"""What runs are called by, where nobody says otherwise."""

from pathlib import Path

import pytest

import ssl_zoo
from ssl_zoo.cli import run, sweep
from ssl_zoo.registry import DATASETS
from ssl_zoo.runs.naming import named_data, named_sweep


@pytest.mark.parametrize(
    ("root", "size", "name"),
    [
        ("~/photos", None, "photos"),
        ("/a/photos/", None, "photos"),
        ("photos.zip", None, "photos"),
        ("photos.tar.gz", 64, "photos-64px"),
        ("Photos.TGZ", [48, 64], "Photos-48x64px"),
        ("photos.v2", None, "photos.v2"),
        ("my photos: 1", None, "my_photos_1"),
        ("x/../photos", None, "photos"),
        (".photos", None, "photos"),
        ("/", None, "folder"),
        ("/", 32, "folder-32px"),
        ("digits", None, "folder-digits"),  # or it would meet the data set of that name
        ("Bilder-für-später", None, "Bilder-für-später"),
    ],
)
def test_ones_own_images_are_called_by_their_place(root, size, name):
    settings = ssl_zoo.recipe("folder", data_root=root, **{"datasets.folder.image_size": size})
    assert named_data(settings) == name


@pytest.mark.parametrize("dataset", sorted({*DATASETS.names()} - {"folder", "arrays"}))
def test_data_sets_with_a_name_keep_it(dataset):
    settings = ssl_zoo.recipe(dataset, data_root="~/elsewhere")
    assert named_data(settings) == dataset and named_sweep(dataset, settings) == dataset


def test_a_data_set_of_a_plug_in_that_reads_a_place(monkeypatch):

    @DATASETS.register("my-data")
    def my_data(root, *, image_size: int = 32):
        """Images."""

    assert named_data(ssl_zoo.recipe("digits", dataset="my-data")) == "my-data"
    assert named_data(ssl_zoo.recipe("digits", dataset="my-data", data_root="~/x")) == "my-data-x-32px"


def test_the_folders_of_runs_and_sweeps():
    words = ["--dataset", "folder", "--data-root", "~/photos", "--labels", "400"]
    flags = run.parse(words)
    assert run.folder_of(flags, run.read_settings(flags)) == Path("runs/photos-400/meanteacher-wrn28_2-s0")
    flags = run.parse([*words, "--image-size", "48x64", "--preset", "tutorial"])
    assert run.folder_of(flags, run.read_settings(flags)).parent == Path("runs/photos-48x64px-400-tutorial")

    def out(*words):
        return sweep.out_of(sweep.grid_of(sweep.parser().parse_args([*words]))).as_posix()

    assert out("--recipe", "folder", "--data-root", "photos.zip", "--image-size", "64") == "runs/sweep-photos-64px"
    assert out("--dataset", "folder", "--data-root", "photos.zip", "--budget", "full") == "runs/sweep-photos-full"
    assert out("--recipe", "digits", "--preset", "tutorial") == "runs/sweep-digits-tutorial" and out() == "runs/sweep-digits"
    words = ["--recipe", "folder", "--recipe", "digits", "--set", "dataset=folder", "--data-root", "photos"]
    assert out(*words) == "runs/sweep-digits-photos"

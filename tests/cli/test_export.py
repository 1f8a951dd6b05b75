"""ssl-zoo export: one line about a file that was checked, or one about what is wrong."""

import re
from pathlib import Path

import pytest

from ssl_zoo.__main__ import main
from ssl_zoo.cli import export, run
from ssl_zoo.using import formats
from ssl_zoo.using.export import NAMES
from tests.using.models import model_file


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def said(capsys, *words):
    """The status, and the one line that is printed."""
    status = main(["export", *words])
    out, error = capsys.readouterr()
    (line,) = (out + error).splitlines()
    return status, line


def test_a_run_is_exported_in_a_line(capsys):
    assert run.main(["--alg", "supervised", "--net", "smallnet", "--steps", "2", "--device", "cpu", "--out", "o"]) == 0
    capsys.readouterr()
    status, line = said(capsys, "o", "--with-preprocessing")
    assert status == 0
    assert re.fullmatch(
        r"wrote o/model\.onnx, 0\.\d\d MB: probabilities within \d\.\de-\d\d of the net's on 32 images of digits", line
    )
    assert Path("o/model.onnx").is_file()
    status, line = said(capsys, "o", "--format", "pt2", "--dynamic-size", "--out", "a b.pt2")
    assert status == 0 and re.match(r"wrote a b\.pt2, 0\.\d\d MB: logits (within|equal to) ", line)
    assert said(capsys, "o", "--out", "copy.safetensors")[1].endswith("MB: a copy of o/model.safetensors, read and checked")
    assert " in place of an earlier export, " in said(capsys, "o", "--out", "copy.safetensors")[1]


def test_the_formats_are_those_that_there_are():
    assert export.FORMATS == NAMES


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["m.safetensors", "--format", "tflite"], "argument --format: invalid choice: 'tflite'"),
        (["m.safetensors", "--out", "folder"], "folder is a folder; give a file, such as folder/model.onnx"),
        (["m.safetensors", "--out", "none/x.onnx"], "there is no folder none for x.onnx; make it, or give another place"),
        (["m.safetensors", "--format", "safetensors"], "m.safetensors already; say where the copy is to be, --out FILE"),
        (["m.safetensors", "--out", "x.safetensors", "--dynamic-size"], "leave out --dynamic-size, or use --format onnx"),
        (["m.safetensors", "--format", "pt2", "--dynamic-size"], "only 8x8; leave out --dynamic-size"),
        (["m.safetensors", "--onnx"], "unknown argument '--onnx'"),
        (["half"], "the run in half is not finished; what began it resumes it"),
        (["folder"], "folder is not the folder of a run"),
        (["none"], "there is no 'none'"),
        (["notes.txt"], "notes.txt cannot be read as a model"),
        (["classless.safetensors"], "classless.safetensors is damaged: it lacks classes"),
        ([], "the following arguments are required: MODEL"),
    ],
)
def test_what_cannot_be_is_one_line(words, line, capsys):
    model = model_file(Path("m.safetensors"), "mlp", {"width": 8}, shape=(8, 8, 1))
    content = model.read_bytes()
    Path("classless.safetensors").write_bytes(content.replace(rb"\"classes\"", rb"\"klasses\"", 1))
    Path("folder").mkdir()
    Path("half").mkdir()
    Path("half/config.yaml").write_text("alg: supervised\nnet: smallnet\ndataset: digits\n")
    Path("notes.txt").write_text("notes")
    before = sorted(Path().rglob("*"))
    status, found = said(capsys, *words)
    assert status == 2 and found.startswith("ssl-zoo export: ") and line in found
    assert sorted(Path().rglob("*")) == before


def test_a_missing_package_is_one_line(capsys, monkeypatch):
    model_file(Path("m.safetensors"))
    monkeypatch.setitem(formats.FORMATS, "onnx", formats.FORMATS["onnx"]._replace(packages=("no_such_package",)))
    assert said(capsys, "m.safetensors") == (
        2,
        'ssl-zoo export: onnx needs the package no_such_package: `pip install "ssl_zoo[onnx]"`',
    )


def test_the_net_of_a_plug_in(capsys):
    assert main(["new", "--kind", "net", "my-odd-net"]) == 0
    words = ["--alg", "supervised", "--net", "my-odd-net", "--plugin", "my_odd_net.py", "--steps", "2", "--device", "cpu"]
    assert run.main([*words, "--out", "o"]) == 0
    capsys.readouterr()
    status, line = said(capsys, "o", "--plugin", "my_odd_net.py", "--format", "pt2")
    assert status == 0 and line.startswith("wrote o/model.pt2")

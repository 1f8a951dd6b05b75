"""The bar of a command: the items as they are, and a line on stderr once it takes long."""

from tqdm import tqdm

from ssl_zoo.cli.bar import bar


def test_the_items_come_out_and_only_slow_ones_show(capsys, monkeypatch):
    assert [*bar(iter("abc"), 3)] == ["a", "b", "c"] and capsys.readouterr().err == ""
    monkeypatch.setattr("tqdm.tqdm", lambda items, **options: tqdm(items, **{**options, "delay": 0, "mininterval": 0}))
    assert [*bar(iter("abc"), 3, "scoring", unit="batch")] == ["a", "b", "c"]
    shown = capsys.readouterr().err
    assert "scoring: 100%" in shown and "3/3" in shown and "batch/s" in shown


def test_a_log_file_gets_few_lines_and_a_terminal_many(monkeypatch):
    given = []
    monkeypatch.setattr("tqdm.tqdm", lambda items, **options: given.append(options["mininterval"]))
    for terminal in (True, False):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        bar([], 0)
    assert given == [0.1, 10.0]

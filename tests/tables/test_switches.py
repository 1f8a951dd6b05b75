"""What each varied setting changes: a line for each variant, beside the method as the recipe has it."""

import json

import pytest

from ssl_zoo.cli import table as command
from ssl_zoo.errors import InputError
from ssl_zoo.tables.render import switches
from ssl_zoo.tables.table import make_tables
from tests.tables.rows import ROWS, lost, row

OVER, FORM = "algorithms.m.over", "algorithms.m.form"


def run(seed, accuracy, over="batch", form="a", axes=(), alg="m", make=row, **more):
    """Of a method with two options, one of which may have been varied."""
    one = make(alg, seed, accuracy, **more) if make is row else make(alg, seed, **more)
    config = {**one["config"], "algorithms": {alg: {"over": over, "form": form}}}
    return {**one, "config": config, **({"axes": [*axes]} if axes else {})}


PLAIN = [run(seed, accuracy) for seed, accuracy in enumerate((0.80, 0.82, 0.90))]
KEPT = [run(seed, accuracy, over="kept", axes=[OVER]) for seed, accuracy in enumerate((0.85, 0.86, 0.96))]
FORMS = [run(seed, accuracy, form="b", axes=[FORM]) for seed, accuracy in enumerate((0.70, 0.92, 0.90))]


def lines(*rows):
    tables, said = make_tables(rows)
    assert not said
    return switches(tables).splitlines()


def test_each_variant_is_beside_the_method_as_it_stands():
    """Differences are 5, 4 and 6 points: 5 ± 4.303 / sqrt(3); and -10, 10 and 0."""
    text = lines(*PLAIN, *KEPT, *FORMS)
    assert text[:5] == [
        "| method | setting | error rate, %, 20 labels | change, points |",
        "| - | - | -: | -: |",
        "| m |  | 16.0 ± 5.3 |  |",
        "|  | `over`: batch → kept | 11.0 ± 6.1 | **+5.0 (+2.5 to +7.5)** |",
        "|  | `form`: a → b | 16.0 ± 12.2 | +0.0 (-24.8 to +24.8) |",
    ]
    assert text[6].startswith("Change: ") and text[6].endswith("n = 3 where nothing else is said.")
    assert text[8].startswith("d, n, 5 steps; error rate of the last evaluation") and "Varied" not in "".join(text)


def test_what_a_change_is_follows_from_the_pairs():
    three, two = lines(*PLAIN, *KEPT)[5], lines(*PLAIN[:2], *KEPT[:2])[5]
    assert "with a 95 % interval (Student's t). Bold: the interval leaves out zero." in three
    assert two.startswith("Change: paired difference") and "interval" not in two and "Bold" not in two
    some = "\n".join(lines(*PLAIN, *KEPT, *FORMS[:2]))
    assert "with a 95 % interval (Student's t, from three pairs on)" in some


def test_what_was_not_varied_is_no_line_and_no_part_of_the_caption():
    """A method without variants, and `supervised`, to which nothing is compared here."""
    text = lines(*PLAIN, *KEPT, *ROWS)
    assert len([line for line in text if line.startswith("|")]) == 4
    assert "supervised" not in "".join(text) and "my_method" not in "".join(text)


def test_settings_that_changed_together_are_one_line():
    both = [run(seed, 0.5, over="kept", form="b", axes=[OVER, FORM]) for seed in range(3)]
    assert "|  | `form`: a → b; `over`: batch → kept | 50.0 ± 0.0 | **-34.0" in "\n".join(lines(*PLAIN, *both))


def test_a_setting_that_all_share_has_its_whole_name():
    fast = [run(seed, 0.5, axes=["optimizer.lr"]) for seed in range(3)]
    fast = [{**one, "config": one["config"] | {"optimizer": {"lr": 0.3}}} for one in fast]
    assert "|  | `optimizer.lr`: 0.1 → 0.3 | 50.0 ± 0.0 |" in "\n".join(lines(*PLAIN, *fast))
    alone = [{**one, "algorithm": "supervised", "config": one["config"] | {"alg": "supervised"}} for one in (*PLAIN, *fast)]
    text = "\n".join(lines(*PLAIN, *fast, *alone))
    assert "| supervised |  | 16.0" in text and text.count("paired difference") == 1, "of which there is one kind here"


def test_a_view_is_one_setting():
    shifted = [run(seed, 0.5, axes=["views.weak"]) for seed in range(3)]
    views = [{"weak": {}}, {"weak": {"translate": {"pixels": 1}, "flip": {}}}]
    both = zip((PLAIN, shifted), views, strict=True)
    plain, other = ([{**one, "config": one["config"] | {"views": of}} for one in rows] for rows, of in both)
    assert '|  | `views.weak`: {} → {"translate": {"pixels": 1}, "flip": {}} | 50.0' in "\n".join(lines(*plain, *other))


def test_runs_that_are_missing_or_diverged_are_counted():
    gone = run(2, 0, over="kept", axes=[OVER], make=lost)
    tables, _ = make_tables([*PLAIN, *KEPT[:2]], lost=[gone])
    text = switches(tables)
    assert "| `over`: batch → kept | 14.5 ± 0.7, n = 2, 1 diverged | +4.5 |" in text
    assert "leaves out zero" not in text, "two pairs have no interval"
    assert "Runs that diverged are in no mean, so means are too good: m, over kept with 20 labels (seed 2)." in text


def test_a_method_that_was_only_varied_is_named_and_not_shown():
    other = [run(seed, 0.5, over=over, alg="x", axes=["algorithms.x.over"]) for seed in range(3) for over in ("batch", "kept")]
    text = "\n".join(lines(*PLAIN, *KEPT, *other))
    assert "Without a run as the recipe has it, and so not here: x." in text and "| x |" not in text


def test_methods_that_were_only_varied_are_one_sentence():
    rows = [
        run(seed, 0.5, over=over, alg=alg, axes=[f"algorithms.{alg}.over"])
        for alg in ("x", "y")
        for seed in range(3)
        for over in ("batch", "kept")
    ]
    assert "Without a run as the recipe has it, and so not here: x, y." in lines(*PLAIN, *KEPT, *rows)
    with pytest.raises(InputError, match=r"in the same folder\. Without a run as the recipe has it, and so not here: x, y$"):
        switches(make_tables(rows)[0])


def test_a_name_with_marks_of_markdown_is_shown_as_it_is():
    key, name = "algorithms.m.`a|b`", "*kept*"
    plain = [{**one, "config": one["config"] | {"algorithms": {"m": {"`a|b`": "x"}}}} for one in PLAIN]
    other = [{**one, "config": one["config"] | {"algorithms": {"m": {"`a|b`": name}}}, "axes": [key]} for one in PLAIN]
    assert r"|  | `'a\|b'`: x → \*kept\* |" in "\n".join(lines(*plain, *other))


def test_a_method_whose_first_line_is_not_clear_is_named():
    """All runs as the recipe has it diverged; or there are two kinds of them; or another net has none."""
    gone = [run(seed, 0, make=lost, alg="x") for seed in range(3)]
    other = [run(seed, 0.5, over="kept", alg="x", axes=["algorithms.x.over"]) for seed in range(3)]
    tables, _ = make_tables([*PLAIN, *KEPT, *other], lost=gone)
    assert "Not here, as all runs as the recipe has it diverged: x." in switches(tables)
    with pytest.raises(InputError, match=r"in the same folder\. Not here, as all runs as the recipe has it diverged: x$"):
        switches(make_tables(other, lost=gone)[0])
    twice = [run(seed, 0.5, over="x") for seed in range(2)]
    for rows in ([*PLAIN, *twice], [*twice, *PLAIN]):
        text = "\n".join(lines(*rows, *KEPT))
        assert "Without --grid m was run in 2 ways; its first line is m, over batch." in text
        assert "| `over`: batch → kept | 11.0 ± 6.1 | **+5.0" in text and "| `over`: batch → x | 50.0 ± 0.0, n = 2 |" in text
    elsewhere = [{**one, "net": "wide"} for over in ("batch", "kept") for one in [run(0, 0.5, over=over, axes=[OVER])]]
    tables, _ = make_tables([*PLAIN, *KEPT, *elsewhere])
    assert "**d, wide, 5 steps**\n\nWithout a run as the recipe has it, and so not here: m." in switches(tables)


@pytest.mark.parametrize("rows", [PLAIN, KEPT, ROWS])
def test_without_both_there_is_an_error_that_says_what_to_run(rows):
    with pytest.raises(InputError, match="runs of the same sweep without --grid, in the same folder"):
        switches(make_tables(rows)[0])


def test_a_grid_may_have_the_value_of_the_recipe_too():
    """Whichever of the two is read first, and whichever has more seeds."""
    again = [run(seed, accuracy, axes=[OVER]) for seed, accuracy in enumerate((0.80, 0.82, 0.90))]
    for rows in ([*again, *PLAIN, *KEPT], [*PLAIN, *KEPT, *again], [*again, *PLAIN[:2], *KEPT]):
        tables, said = make_tables(rows)
        assert said and "|  | `over`: batch → kept | 11.0 ± 6.1 | **+5.0 (+2.5 to +7.5)** |" in switches(tables)


def test_numbers_of_labels_are_columns():
    more = [{**one, "labels": 40, "split_hash": f"x{one['seed']}"} for one in (*PLAIN, *KEPT)]
    head, _, plain, kept, *_ = lines(*PLAIN, *KEPT, *FORMS, *more)
    assert head == "| method | setting | error rate, %, 20 labels | change, points | error rate, %, 40 labels | change, points |"
    assert plain == "| m |  | 16.0 ± 5.3 |  | 16.0 ± 5.3 |  |"
    assert kept.count("**+5.0 (+2.5 to +7.5)**") == 2


def test_the_command_puts_it_into_its_own_place(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in (*PLAIN, *KEPT)))
    (tmp_path / "page.md").write_text("<!-- table rows.jsonl with switches -->\n<!-- end -->\n")
    assert command.main(["rows.jsonl", "--format", "switches", "--into", "page.md"]) == 0
    assert "| `over`: batch → kept |" in (tmp_path / "page.md").read_text()
    assert command.main(["rows.jsonl", "--format", "ideas", "--into", "page.md"]) == 2
    assert "with ideas" in capsys.readouterr().err
    assert command.main(["rows.jsonl", "--format", "switches", "--cost", "--each-class"]) == 2
    assert "leave out --cost and --each-class" in capsys.readouterr().err

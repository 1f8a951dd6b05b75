import csv
import io
import re

import pytest

from ssl_zoo.data.labels import FORMULA, guarded
from ssl_zoo.tables import render
from ssl_zoo.tables.table import make_tables
from tests.browser import chromium, screen
from tests.tables.rows import ROWS, row


def test_markdown(capsys):
    (made,), _ = make_tables(ROWS)
    lines = render.markdown([made], oracle=False).splitlines()
    assert lines[0] == "| error rate, % | 20 labels |" and lines[2] == "| supervised | **29.5 ± 0.7**<br>median 29.5, n = 2 |"
    assert lines[3].startswith(
        "| my_method | **10.0 ± 0.0**<br>median 10.0, n = 2<br>+19.5 points |"
    ) and "oracle" not in "".join(lines)
    assert "oracle 1.0 ± 0.0, not a result" in render.markdown([made], oracle=True)


@pytest.mark.parametrize("name", ["a|b", "a\nb", "<img src=x onerror=alert(1)>", "\\input{/etc/passwd}", "~^&%$#_{}"])
def test_names_stay_in_their_places(name):
    made, _ = make_tables([row(name, s, dataset=name, net=name, device=name) for s in range(2)])
    markdown = render.markdown(made, True)
    assert all(line.replace("\\|", "").count("|") == 3 for line in markdown.splitlines()[:3]) and "<img" not in markdown
    assert len(markdown.splitlines()) == 3 + 1 + 5
    assert "<img" not in render.page(made, True)
    latex = render.latex(made, True)
    body = latex[latex.index(r"\midrule") : latex.index(r"\bottomrule")].splitlines()[1:]
    assert all(line.count("&") - line.count(r"\&") == 1 for line in body), "as many columns as the head"
    assert is_whole(latex) and not re.search(r"\\(input|begin\{document)", latex)
    assert next(csv.DictReader(io.StringIO(render.as_csv(made, True))))["method"] == name


def is_whole(latex):
    """Whether each brace and environment ends where it should, and nothing but a cell's end and mathematics is special."""
    bare = re.sub(r"(?m)^%.*$", "", latex)
    bare = re.sub(r"\$(n|\\pm|\\to|[+-][\d.]+)\$|\\[_&%#${}]|\\\\$", "", bare, flags=re.MULTILINE)
    depth = 0
    for letter in bare:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        assert depth >= 0
    inside = re.findall(r"\\begin\{(\w+)\}|\\end\{(\w+)\}", bare)
    assert inside == [("table", ""), ("tabular", ""), ("", "tabular"), ("", "table")] * (len(inside) // 4)
    return depth == 0 and not re.search(r"[_%#$^~]|\n[\[*]", bare)


def test_latex_is_ready_to_be_included():
    (made,), _ = make_tables([*ROWS, row("supervised", 2, 0.7), row("my_method", 2, 0.5)])
    text = render.latex([made], oracle=False)
    assert is_whole(text) and text.startswith(
        "% in the preamble: \\usepackage{booktabs}\n\n\\begin{table}\n\\centering\n\\caption[d, n, 5"
    )
    assert text.count("d, n, 5 steps") == 2 and text.count(r"\label{tab:d-n}") == 1, (
        "a short form, and what the caption begins with"
    )
    assert r"\small $+6.3$ ($-50.3$ to $+63.0$) points \\" in text and "%" not in re.sub(r"\\%", "", text.partition("\n")[2])
    assert "95 \\% interval (Student's t). Seconds a run" in text
    assert not is_whole(text.replace(r"\_", "_")) and not is_whole(text.replace(r"\end{table}", r"\end{table}{"))


def test_labels_of_latex_are_told_apart():
    tables, _ = make_tables([row(seed=s, dataset="d", net=net) for net in ("a_b", "a-b", "c") for s in range(2)])
    assert re.findall(r"\\label\{(.*?)\}", render.latex(tables, False)) == ["tab:d-a-b", "tab:d-a-b:2", "tab:d-c"]


def test_of_letters_latex_shows_each_as_it_is():
    made, _ = make_tables([row(name, s) for name in ("[a]*", "--b", "c -0.5 | `d` → <e>", "f-1") for s in range(2)])
    text = render.latex(made, False)
    for shown in (
        "{[}a{]}{*} &",
        "-{}-b &",
        r"c $-0.5$ \textbar{} \textasciigrave{}d\textasciigrave{} $\to$ \textless{}e\textgreater{} &",
        "\nf-1 &",
    ):
        assert shown in text, shown
    assert is_whole(text)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("![x](http://e/p.png)", r"![x\](http://e/p.png)"),
        ("[x][y] [z]: u", r"[x\][y] [z\]: u"),
        ("[FixMatch], wrn28_2", "[FixMatch], wrn28_2"),
        ("`a` *b* _c_ __d__ e_", r"\`a\` \*b\* \_c\_ \_\_d\_\_ e\_"),
        ("a\\[b](c)", r"a\\[b\](c)"),
        ("a\\](c)", r"a\\\](c)"),
    ],
)
def test_no_part_of_a_name_is_a_link_a_picture_or_emphasis(name, shown):
    """What a backslash before a mark of Markdown shows is that mark (CommonMark 0.31, 2.4)."""
    made, _ = make_tables([row(name, s) for s in range(2)])
    assert f"| {shown} | **" in render.markdown(made, False) and re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown) == name


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x","y")', "+1+1", "-2+3", "@SUM(A1)", "'=1", "\t=1"])
def test_no_text_of_the_csv_is_a_formula(name):
    """Numbers with a sign stay numbers."""
    made, _ = make_tables(
        [row(alg, s, a, device=name, commit=name) for s in range(2) for alg, a in (("supervised", 0.9), (name, 0.5))]
    )
    lines = {line["method"]: line for line in csv.DictReader(io.StringIO(render.as_csv(made, False)))}
    assert {*lines} == {"supervised", f"'{name}"} and guarded(name) == f"'{name}", "as predictions have it"
    assert lines[f"'{name}"]["device"] == f"'{name}" and float(lines[f"'{name}"]["gain_mean"]) == pytest.approx(-40)
    assert not any(
        cell.startswith(FORMULA) and not re.fullmatch(r"-[\d.]+", cell) for line in lines.values() for cell in line.values()
    )


def test_no_part_of_a_name_is_a_formula_or_a_command():
    made, _ = make_tables([row("a$b$\udcff", s, dataset="$d$") for s in range(2)])
    assert "| a\\$b\\$" in render.markdown(made, True) and "\\$d\\$, n, 5 steps" in render.markdown(made, True)
    assert r"a\$b\$\textbackslash{}udcff" in render.latex(made, True)


def test_csv():
    (made,), _ = make_tables(ROWS)
    lines = list(csv.DictReader(io.StringIO(render.as_csv([made], oracle=True))))
    assert [line["method"] for line in lines] == ["supervised", "my_method"] and lines[1]["n"] == "2"
    assert (
        float(lines[1]["gain_mean"]) == pytest.approx(19.5)
        and lines[0]["gain_mean"] == ""
        and lines[1]["oracle_mean"] == "1.0000"
    )
    assert all(re.fullmatch("[0-9a-f]{12}", line["recipe"]) and line["commit"] == "abc" for line in lines)


def test_every_commit_is_in_the_csv():
    (made,), _ = make_tables([row(seed=0, source="s"), row(seed=1, source="s", commit="def")])
    (line,) = csv.DictReader(io.StringIO(render.as_csv([made], oracle=False)))
    assert line["commit"] == "abc, def"


def test_latex():
    (made,), _ = make_tables(ROWS)
    text = render.latex([made], oracle=False)
    assert r"my\_method & 10.0 $\pm$ 0.0 \\" in text and r"\toprule" in text and text.count("{tabular}") == 2
    assert r"\quad\small median & \small 10.0, $n$ = 2 \\" in text
    assert r"oracle, not a result & \small 1.0 $\pm$ 0.0 \\" in render.latex([made], oracle=True) and "oracle" not in text
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")].splitlines()[1:]
    assert all(line.count("&") == 1 and line.endswith(r"\\") for line in body if line), "as many columns as the head"


@pytest.mark.parametrize("width", [1100, 390])
def test_the_page_in_a_browser(tmp_path, width):
    """Headless Chromium: a click sorts, curves are drawn, and the page itself is no wider than the screen."""
    made, _ = make_tables([*ROWS, row("zero", 0, 0.0)])
    (tmp_path / "t.html").write_text(render.page(made, False))
    with chromium() as browser:
        screen(browser, width)
        browser.get((tmp_path / "t.html").as_uri())

        def names():
            return [cell.text for cell in browser.find_elements("css selector", "tbody td:first-child")]

        head = browser.find_element("css selector", "th:nth-child(2) button")
        assert names() == ["supervised", "zero", "my_method"]
        head.click()
        assert names() == ["my_method", "supervised", "zero"]
        head.click()
        assert names() == ["zero", "supervised", "my_method"]
        line = browser.find_element("css selector", "svg polyline")
        assert (
            line.get_attribute("points") and line.is_displayed() and browser.find_element("tag name", "svg").size["width"] > 300
        )
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.get_log("browser") == []


UNEVEN = [row(seed=s, accuracy=0.95, balanced_accuracy=0.5 + 0.1 * s, confusion=[[19, 0], [1, 0]]) for s in range(2)]


@pytest.mark.parametrize("form", render.FORMATS)
def test_balanced_accuracy_stands_beside_where_classes_are_unequal(form):
    """And nowhere else."""
    (uneven,), (even,) = (make_tables(rows)[0] for rows in (UNEVEN, ROWS))
    shown = {"md": "balanced accuracy 55.0 ± 7.1", "html": "<small>balanced accuracy 55.0 ± 7.1</small>"}
    shown["ideas"] = shown["md"]
    shown |= {"tex": r"\quad\small balanced accuracy & \small 55.0 $\pm$ 7.1 \\"}
    text = render.FORMATS[form]([uneven], False).replace("&nbsp;", " ")
    assert "alanced" not in render.FORMATS[form]([even], False)
    if form == "csv":
        (line,) = csv.DictReader(io.StringIO(text))
        assert (line["balanced_accuracy_mean"], line["balanced_accuracy_std"]) == ("55.0000", "7.0711")
    else:
        assert shown[form] in text
        rate = r"5.0 \%" if form == "tex" else "5.0 %"
        assert f"unequal, from 1 to 19 images: the largest class, given to all of them, has an error rate of {rate}" in text


def test_a_balanced_accuracy_of_one_table_leaves_the_lines_of_another_as_they_are():
    tables, _ = make_tables([*UNEVEN, *(row(seed=s, dataset="other") for s in range(2))])
    text = render.as_csv(tables, False)
    assert [line["balanced_accuracy_mean"] for line in csv.DictReader(io.StringIO(text))] == ["55.0000", ""]
    cells = [line for line in render.latex(tables, False).splitlines() if line.startswith(r"\quad\small balanced")]
    assert len(cells) == 1


COSTLY = [
    *(row(seed=s, seconds=seconds, images_seen=1000) for s, seconds in enumerate((2, 40, 12))),
    *(
        row("x", s, seconds=0.25, images_seen=2500, labels=count, split_hash=f"{chr(84 + count)}{s}")
        for s in range(3)
        for count in (20, 40)
    ),
]


def test_what_a_run_cost_is_a_column_on_request():
    """Medians over runs: of 2, 40 and 12 seconds it is 12."""
    (made,), _ = make_tables(COSTLY)
    lines = render.markdown([made], False, True).splitlines()
    assert lines[:2] == [
        "| error rate, % | 20 labels | 20 labels: cost | 40 labels | 40 labels: cost |",
        "| - | -: | -: | -: | -: |",
    ]
    assert lines[2].endswith("| 5 steps<br>1,000 images seen<br>12 s |  |  |")
    assert lines[3].count("| 5 steps<br>2,500 images seen<br>0.2 s |") == 2
    text = render.latex([made], False, True)
    assert r"supervised & 20.0 $\pm$ 0.0 & \small 5 steps, 1,000 images seen, 12 s &  &  \\" in text
    body = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
    assert {line.count("&") for line in body if line.endswith(r"\\")} == {4} and r"\begin{tabular}{lrrrr}" in text
    first, *others = csv.DictReader(io.StringIO(render.as_csv([made], False, True)))
    assert [first[name] for name in ("steps", "images_seen", "seconds", "machines")] == ["5", "1000", "12.0", "cpu"]
    assert [other["images_seen"] for other in others] == ["2500", "2500"]
    html = render.page([made], False, True)
    assert '<td data-value="12.000"><small>5 steps</small><small>1,000 images seen</small><small>12 s</small></td>' in html
    assert all(line.count("<td") == 5 for line in re.findall("<tr>(?!<th).*?</tr>", html)) and html.count('<th scope="col">') == 5


@pytest.mark.parametrize("form", render.FORMATS)
def test_nothing_but_the_caption_says_the_cost_unless_it_is_asked_for(form):
    (made,), _ = make_tables(COSTLY)
    assert render.FORMATS[form]([made], False) == render.FORMATS[form]([made], False, False)
    assert not re.search("images seen(?!:)|images_seen|s: cost", render.FORMATS[form]([made], False))


def test_one_number_of_labels_needs_no_name_at_its_cost_and_machines_are_counted():
    moved = [{"step": 0, "device": "here"}, {"step": 3, "device": "there"}]
    (made,), _ = make_tables([row(seed=s, history=moved) for s in range(2)])
    text = render.markdown([made], False, True)
    assert text.startswith("| error rate, % | 20 labels | cost |") and "1.0 s<br>on 2 machines |" in text
    (line,) = csv.DictReader(io.StringIO(render.as_csv([made], False, True)))
    assert line["machines"] == "here; there"


@pytest.mark.parametrize("form", ["md", "tex", "html"])
def test_published_numbers_have_no_cost(form):
    rows = [row(dataset="cifar10", net="wrn28_2", labels=count, split_hash=f"{count}") for count in (250, 4000)]
    (made,), _ = make_tables(rows, published=True)
    assert made.published
    text = render.FORMATS[form]([made], False, True)
    if form == "md":
        assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {6}
    elif form == "tex":
        papers = [line for line in text[text.rindex(r"\midrule") :].splitlines() if line.startswith(" &")]
        assert papers and {line.count("&") for line in papers} == {4} and r"\multicolumn{5}" in text
    else:
        papers = re.findall('<tr class="published">.*?</tr>', text)
        assert papers and all(line.count("<td") == 5 for line in papers)


def test_a_method_without_steps_costs_none():
    (made,), _ = make_tables([*(row(seed=s) for s in range(2)), *(row("at_once", s, steps=0, images_seen=0) for s in range(2))])
    assert "| no steps<br>0 images seen<br>1.0 s |" in render.markdown([made], False, True)
    costs = list(csv.DictReader(io.StringIO(render.as_csv([made], False, True))))
    assert [line["steps"] for line in costs] == ["5", "0"]


ONCE = [row("at_once", s, 0.6 + s / 5, steps=0, evaluations=[{"step": 0, "accuracy": 0.6 + s / 5}]) for s in range(2)]


@pytest.mark.parametrize("form", render.FORMATS)
def test_methods_without_steps_may_be_alone(form):
    """With another number of labels, at which there are curves, and without."""
    for rows in (ONCE, [*ONCE, *(row(seed=s, labels=50) for s in range(2))]):
        tables, _ = make_tables(rows)
        text = render.FORMATS[form](tables, True, True)
        assert "30.0" in text and text.count("<figure>") == (form == "html" and len(rows) > 2)


def test_among_curves_a_method_without_steps_is_a_level_dashed_line():
    steps = [row(seed=s, steps=10, evaluations=[{"step": k, "accuracy": 0.7} for k in (5, 10)]) for s in range(2)]
    tables, _ = make_tables([*steps, *ONCE])
    text = render.page(tables, False)
    curve, level, *_ = re.findall(r'<polyline points="([^"]*)"[^>]*?(?: stroke-dasharray="([^"]*)")?>', text)
    assert curve[0] == "365.0,260.0 685.0,260.0" and not curve[1]
    assert level == ("45.0,260.0 685.0,260.0", "8 4"), "and 20 points of deviation are no part of the scale"


RECALLS = [row(seed=s, confusion=[[9, 1, 0], [2, 8, 0], [0, 0, 0]]) for s in range(2)]


@pytest.mark.parametrize("form", render.FORMATS)
def test_each_class_where_it_is_asked_for(form):
    """Recalls are 90 % and 80 %, and of one class without images there is none."""
    (made,), _ = make_tables(RECALLS, each_class=True)
    (plain,), _ = make_tables([row(seed=s) for s in range(2)])
    text = render.FORMATS[form]([made], False)
    assert "geometric" not in render.FORMATS[form]([plain], False) and "recall" not in render.FORMATS[form]([plain], False)
    if form == "csv":
        (line,) = csv.DictReader(io.StringIO(text))
        assert (line["recall_0"], line["recall_1"], line["recall_2"]) == ("90.0000", "80.0000", "")
        assert line["geometric_mean_mean"] == f"{100 * 0.72**0.5:.4f}" and line["geometric_mean_std"] == "0.0000"
        return
    shown = {"md": "<br>geometric mean 84.9 ± 0.0<br>recalls 90 80 -", "html": "<small>recalls 90 80 -</small>"}
    shown["ideas"] = shown["md"]
    shown |= {"tex": "\\quad\\small recalls & \\small 90 80 - \\\\"}
    assert shown[form] in text and "one of 0 counts as 1/(100 K)" in text


def test_of_many_classes_three_recalls_are_shown():
    matrix = [[10 * (i == j) for j in range(25)] for i in range(25)]
    matrix[4][4:6], matrix[9][9:11] = [2, 8], [6, 4]
    (made,), _ = make_tables([row(confusion=matrix)], each_class=True)
    text = render.markdown([made], False)
    assert "recalls from 20 over 100 to 100" in text and "in percent: the least, the median, the most." in text

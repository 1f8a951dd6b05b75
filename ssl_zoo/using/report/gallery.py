"""Parts of a page with pictures: the worst errors, each class at its best and its least sure, and labels to look at."""

import numpy as np

from ssl_zoo.pages.markup import Markup, counted, element, folded, joined, name, paragraph, share
from ssl_zoo.using.report.evidence import Looked, Run
from ssl_zoo.using.report.summary import per_class
from ssl_zoo.using.report.suspects import suspects
from ssl_zoo.using.report.thumbnails import can_be_shown, thumbnails

WORST = 24  # errors that are shown
LOOK_AT = 24  # labels that are shown
EACH = ((10, 3), (30, 2), (100, 1))  # up to so many classes, so many images of each at its best, and as many unsure ones
SHOWN = 12  # classes, up to which their pictures are open at first
NO_PICTURES = "The images have {} channels and {} x {} pixels, which no picture shows."


def no_pictures(run: Run) -> str:
    """Return why images cannot be shown; "" where they can."""
    if run.scored is None or not len(run.scored.labels):
        return "The images are not at hand."
    height, width, channels = run.scored.pixels(0).shape
    return "" if can_be_shown((height, width, channels)) else NO_PICTURES.format(channels, height, width)


def errors_part(run: Run) -> Markup:
    """Return the scored images that are wrong and of which the net is surest."""
    why = no_pictures(run)
    if why or run.scored is None:
        return paragraph(why)
    scored = run.scored
    wrong = np.flatnonzero(scored.wrong)
    if not len(wrong):
        return paragraph("None: every scored image is right.")
    worst = wrong[np.argsort(-scored.confidence[wrong], kind="stable")][:WORST]
    many = f"The {len(worst)} of {len(wrong):,} wrong" if len(wrong) > len(worst) else f"All {len(wrong):,} wrong"
    said = f"{many} images, the one of which the net is surest first. Either the net is wrong, or the label."
    return joined(paragraph(said), thumbnails(scored, worst, run.trained.classes))


def examples_part(run: Run) -> Markup:
    """Return images of each class: the surest that are right, and those of which the net is least sure."""
    if no_pictures(run) or run.scored is None:
        return Markup("")
    rows = [row for row in per_class(run) if row[2]]
    most, each = next(((most, each) for most, each in EACH if len(rows) <= most), EACH[-1])
    kept = sorted(sorted(rows, key=lambda row: (row[3] / row[2], -row[2]))[:most])
    cards = [_card(run, run.scored, k, size, right, each) for k, _, size, right in kept]
    some = "" if len(kept) == len(rows) else f" of the {len(kept)} of {len(rows):,} of which least is right"
    body = element("div", *cards, class_="cards", style=f"--card: {max(15, 6.75 * each):g}rem")
    return folded(f"Examples of each class{some}", body, shown=len(kept) <= SHOWN)


def _card(run: Run, scored: Looked, k: int, size: int, right: int, each: int) -> Markup:
    mine = np.flatnonzero(scored.labels == k)
    order = mine[np.argsort(-scored.confidence[mine], kind="stable")]
    best, unsure = order[~scored.wrong[order]][:each], order[::-1][:each]
    both = {"surest, and right": best, "least sure": unsure}
    if {*best.tolist()} == {*unsure.tolist()}:  # of a class with few images
        del both["least sure"]
    parts = [
        element("div", element("h4", title), thumbnails(scored, places, run.trained.classes, "") or paragraph("none is right"))
        for title, places in both.items()
    ]
    head = element("h3", name(run.trained.classes[k]), f": {right:,} of {size:,} right ({share(right, size)})")
    return element("div", head, element("div", *parts, class_="pair") if each == 1 else joined(*parts))


def labels_part(run: Run) -> Markup:
    """Return labelled images whose label looks wrong."""
    looked = run.scored if run.folds else run.labeled
    if looked is None:
        return paragraph("Labels are not looked at, as the labelled images are not at hand.")
    found = suspects(looked)
    count, n = len(found.places), len(looked.labels)
    if found.strong:
        agreed = share(n - int(looked.wrong.sum()), n)
        said = (
            f"Each of the {counted(n, 'labelled image')} was predicted by a net that had not seen it. It agrees with {agreed} of "
            "the labels; the less that is, the more of what follows are errors of the net. "
        )
    else:
        said = (
            "Weak evidence: the net was trained on these labels, and so it repeats wrong ones too. Only images of which it is "
            "sure all the same that they are of another class are named. A run in folds has each predicted by a net that had not "
            "seen it. "
        )
    if not count:
        return paragraph(f"{said}By {found.how} no label of {n:,} looks wrong.")
    said += f"By {found.how} {counted(count, 'label')} of {n:,} {'looks' if count == 1 else 'look'} wrong"
    said += f"; the {LOOK_AT} most suspicious:" if count > LOOK_AT else ":"
    why = no_pictures(run)
    shown = found.places[:LOOK_AT]
    return joined(
        paragraph(said), _names(looked, shown, run.trained.classes) if why else thumbnails(looked, shown, run.trained.classes)
    )


def _names(looked: Looked, places: np.ndarray, classes: tuple[str, ...]) -> Markup:
    """In words, where there are no pictures."""
    lines = [
        element(
            "li",
            name(looked.names[i]) if looked.names else f"row {i}",
            " is labelled ",
            name(classes[looked.labels[i]]),
            " and given ",
            name(classes[looked.predicted[i]]),
        )
        for i in places.tolist()
    ]
    return element("ul", *lines)

"""What a caption says of images: which are scored, how much so many tell, and which classes images are of.

Rows of one table are of the same data, but where a sweep varied them. So what is said of one row is said of all only
where it is the same for all.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence

from ssl_zoo.runs.confusion import images_in, in_a_tail, majority, sizes, unequal, wilson
from ssl_zoo.tables.cells import MANY
from ssl_zoo.tables.rows import Row, by_cell
from ssl_zoo.tables.variants import called, listed_names


def images_scored(row: Row) -> str:
    """Say which images a row is of."""
    folds = row["config"].get("folds")
    if folds is not None:
        return f"labelled images, each scored once, by one of {folds} nets that had not seen it"
    others = {"held-out": "labelled images held out for it", "training": "labelled training images"}
    return others.get(row.get("scored", "test"), "test images")


def either(texts: Iterable[str]) -> str:
    """Return texts, each once, with `or` between them."""
    return " or ".join(dict.fromkeys(texts))


def which_score(rows: Sequence[Row]) -> str:
    """Say of which evaluation, of which net and on how many of which images the error rates are."""
    students = {row["config"].get("evaluation", {}).get("net") == "student" for row in rows}
    net = " of the method's net or the student" if len(students) > 1 else " of the student" if True in students else ""
    chosen = either(map(_chosen, rows))
    return f"error rate{net} of {chosen} on {_how_many(rows, '')} {either(map(images_scored, rows))}"


def _chosen(row: Row) -> str:
    """Which evaluation of a run is reported."""
    if row.get("selection", "last") == "last":
        return "the last evaluation"
    return f"the evaluation that is best on {100 * row['config'].get('val_fraction', 0):g} % of the labelled images, held out,"


def _how_many(rows: Sequence[Row], form: str = ",") -> str:
    """How many images are scored; where that was varied, from the fewest to the most."""
    counts = sorted({images_in(row["confusion"]) for row in rows})
    return " to ".join(f"{count:{form}}" for count in dict.fromkeys((counts[0], counts[-1])))


def finite(rows: Sequence[Row]) -> str:
    """Say how well so many images tell an error rate, whatever the number of runs."""
    rows = [row for row in rows if row.get("scored") != "training"]
    if not rows:
        return ""
    groups = by_cell(rows).values()
    errors = sorted((1 - statistics.mean(row["accuracy"] for row in group), images_in(group[0]["confusion"])) for group in groups)
    several = len({count for _, count in errors}) > 1
    each = []
    for error, count in dict.fromkeys((errors[0], errors[-1])):
        low, high = wilson((1 - error) * count, count)
        on = f" on {count:,} of them" if several else ""
        begins = f"and one of {100 * error:.1f} %{on} an" if each else f"An error rate of {100 * error:.1f} %{on} has a 95 %"
        each.append(f"{begins} interval of {100 * (1 - high):.1f} to {100 * (1 - low):.1f} %")
    return (
        f"The {_how_many(rows)} images that are scored are themselves a sample. {' '.join(each)} (Wilson), however many runs "
        "there are. Runs that score the same images share this error, so a difference between methods is surer than these "
        "intervals suggest."
    )


def flattered(row: Row) -> str:
    """Say what an accuracy is worth where the classes of the scored images are of unequal size."""
    matrix = row["confusion"]
    if not unequal(matrix):
        return ""
    count, (_, alone) = sizes(matrix), majority(matrix)
    return (
        f"The classes of the {images_scored(row)} are unequal, from {min(count):,} to {max(count):,} images: the largest class, "
        f"given to all of them, has an error rate of {100 * (1 - alone):.1f} %. Balanced accuracy is the mean of the classes' "
        f"recalls; one class for all images has {100 / sum(map(bool, count)):.1f} %."
    )


def drawn(row: Row) -> str:
    """Say which classes the labelled and unlabelled images are of, where it is not as many of each."""
    config, stream = row["config"], row["config"].get("stream", {})
    said = ["The labels are a long tail, as a split file has them."] * (row.get("split_draw") == "longtail")
    if config.get("draw") == "longtail" and config.get("split_file") is None:
        rounded = "rounded down, and at least one of each class"
        said.append(f"The labels are a long tail with an imbalance of {config['imbalance']:g}, {rounded}.")
    if stream.get("imbalance") is not None:
        largest = "last" if stream.get("order") == "reversed" else "first"
        tail = f"a long tail with an imbalance of {stream['imbalance']:g}, the most of the {largest} class"
        said.append(f"The unlabelled images are {'as many of each class' if stream['imbalance'] == 1 else tail}.")
    if stream.get("images") is not None:
        said.append(f"Of those without a label, {stream['images']:,} are used.")
    if outside := config.get("unlabeled_classes"):
        share = "" if stream.get("mismatch") is None else f", {100 * stream['mismatch']:g} % of those without a label"
        said.append(f"Classes that are only among the unlabelled images{share}, and not scored: {', '.join(map(str, outside))}.")
    return " ".join(said)


def of_each(rows: Sequence[Row], say: Callable[[Row], str]) -> str:
    """Return what is said of a row: once, where it is the same for all; else of each variant."""
    said = {say(row): called(row) for row in reversed(rows)}
    if len(said) == 1:
        return next(iter(said))
    names = {text: listed_names(dict.fromkeys(called(row) for row in rows if say(row) == text)) for text in reversed(said)}
    return " ".join(f"Of {names[text]}: {text}" for text in names if text)


def of_classes(rows: Sequence[Row], each_class: bool) -> str:
    """Say what is shown of the classes."""
    if not each_class and not any(unequal(row["confusion"]) or in_a_tail(row) for row in rows):
        return ""
    mean = "The geometric mean is of the classes' recalls, of which one of 0 counts as 1/(100 K) with K classes."
    names = {tuple(row.get("classes") or ()) for row in rows}
    order = f" in the order of the classes ({', '.join(next(iter(names)))})" if len(names) == 1 and any(names) else ""
    many = any(len(sizes(row["confusion"])) > MANY for row in rows)
    each = f" Recalls are means over the runs, in percent{': the least, the median, the most' if many else order}."
    return mean + (each if each_class else "")


def leaked(rows: Sequence[Row]) -> str:
    """Say how many of the scored images were learnt by heart."""
    counts = {row.get("leaked_test_images", 0) for row in rows}
    if not any(counts):
        return ""
    up_to = "Up to " if len(counts) > 1 else ""
    return f"{up_to}{max(counts)} of the test images are also training images: the score counts what was learnt by heart."

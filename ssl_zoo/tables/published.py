"""Numbers of papers, to stand beside ours with protocol and source. They are in published.yaml, one an entry."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from ssl_zoo.tables.cells import Score

PUBLISHED = Path(__file__).parent / "published.yaml"
SHORT = {
    "wrn28_2": "wrn-28-2",
    "wrn28_8": "wrn-28-8",
    "wrn37_2": "wrn-37-2",
    "convnet13": "conv13",
    "shakeshake26": "resnet26-shakeshake-2x96d",
}  # nets, as papers' tables name them


class Published(NamedTuple):
    """A number from a paper."""

    method: str
    labels: str
    error: Score
    n: int | None
    protocol: str  # net, augmentation, which evaluation
    source: str

    def __str__(self) -> str:
        return f"{self.error}, n = {self.n}" if self.n else str(self.error)


def read_published(dataset: str, net: str, labels: Collection[Any]) -> list[Published]:
    """Return the papers' numbers for a data set, a net and numbers of labels.

    Only those that were read in a source, and none that is marked unusable.
    """
    wanted = {str(count) for count in labels}
    found = []
    for entry in yaml.safe_load(PUBLISHED.read_text(encoding="utf-8")):
        usable = entry.get("usable", True) and entry["verified"] and entry.get("kind") != "replication"  # which has no source
        if usable and entry["dataset"] == dataset and entry["net"] == SHORT.get(net) and str(entry["labels"]) in wanted:
            deviation = entry.get("error_std") if entry.get("std_verified", True) else None
            error = Score(entry["error_mean"], deviation)
            number = (entry["algorithm"], str(entry["labels"]), error, entry.get("runs"), protocol(entry), entry["source"])
            found.append(Published(*number))
    return found


def protocol(entry: Mapping[str, Any]) -> str:
    """Return what one must know of a published number to compare with it."""
    metric = str(entry.get("metric") or "evaluation not said").replace("_", " ")
    parts = [entry["net"], entry.get("net_note"), entry.get("augmentation"), metric, entry.get("kind")]
    parts += [f"{entry['steps']:,} steps"] if "steps" in entry else []
    parts += [f"unlabelled: {entry['unlabeled']}"] if entry["dataset"] == "svhn" and "unlabeled" in entry else []
    parts += [f"{entry['seen']} source" + (f" ({entry['seen_ref']})" if "seen_ref" in entry else "")] if "seen" in entry else []
    return ", ".join(filter(None, parts))

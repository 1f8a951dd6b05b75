"""What the names of files and folders mean: images, parts of a data set, and what a system leaves behind."""

import unicodedata
from collections.abc import Mapping

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz")
IMAGES = (".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# Images of formats that need a package, or a program, before they can be read: each is named, none is passed over.
PHOTOS = (
    ".heic",
    ".heif",
    ".avif",
    ".jxl",
    ".jp2",
    ".cr2",
    ".cr3",
    ".nef",
    ".arw",
    ".dng",
    ".raf",
    ".orf",
    ".rw2",
    ".psd",
    ".svg",
)

TRAIN, TEST, VALIDATION, UNLABELED = PARTS = ("train", "test", "validation", "unlabeled")
_WORDS = {  # the plain words for a part, without case, hyphens, underscores and spaces
    TRAIN: ("train", "training", "trainset", "trainingset"),
    TEST: ("test", "testing", "testset"),
    VALIDATION: ("val", "valid", "validation", "dev", "valset", "validationset"),
    UNLABELED: (
        *("unsorted", "unclassified", "unannotated", "untagged", "withoutlabels", "tosort", "tolabel", "loose", "inbox"),
    ),
}
_PART = {word: part for part, words in _WORDS.items() for word in words}
_SYSTEM = {  # folders and files without a dot that file managers, indexers and programs leave
    *("@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__macosx", "__pycache__"),
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
}


def is_image(name: str) -> bool:
    """Return whether a file's name ends as an image's does, readable or not."""
    return name.lower().endswith((*IMAGES, *PHOTOS))


def is_hidden(name: str) -> bool:
    """Return whether one piece of a path is hidden, or a system's own."""
    return name.startswith(".") or name.casefold() in _SYSTEM


def part_of(folder: str) -> str | None:
    """Return the part of a data set that a folder's name says in plain words: one of `PARTS`, or None."""
    word = "".join(c for c in unicodedata.normalize("NFC", folder).casefold() if c not in "-_ ")
    return UNLABELED if word.startswith(("unlabel", "notlabel", "nolabel")) else _PART.get(word)


def spelled(name: str) -> str:
    """Return a class's name in one spelling: a Mac takes an accented letter apart (NFD), other systems do not (NFC)."""
    return unicodedata.normalize("NFC", name)


RARE, WORD = 5, 4  # images of a class that is rare, at most; letters of a name in which a slip can be told


def nearly_alike(counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Return pairs of classes of which the first may be the second, misspelt: it is rare, and differs by one slip.

    Args:
        counts: Labelled images of each class.
    """
    rare = [name for name, count in counts.items() if 0 < count <= RARE and len(name) >= WORD and name.isalpha()]
    usual = [name for name, count in counts.items() if count > RARE and len(name) >= WORD]
    return [(one, other) for one in rare for other in usual if _one_slip(one, other)]


def _one_slip(one: str, other: str) -> bool:
    """Whether a letter was left out, put in, changed, or changed places with the next."""
    one, other = one.casefold(), other.casefold()
    short, long = sorted((one, other), key=len)
    if len(long) == len(short) + 1:
        return any(short == long[:k] + long[k + 1 :] for k in range(len(long)))
    differ = [k for k, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]]
    if len(long) > len(short) or not differ or len(differ) > 2:
        return False
    first, last = differ[0], differ[-1]
    swapped = last == first + 1 and one[first] == other[last] and one[last] == other[first]
    return first == last or swapped

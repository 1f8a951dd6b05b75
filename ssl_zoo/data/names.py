"""What the names of files and folders mean: images, parts of a data set, and what a system leaves behind."""

import unicodedata

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

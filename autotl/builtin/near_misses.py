"""Folders of images that are nearly what a loader reads: what they are, and what they lack."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote

from autotl.builtin import tables
from autotl.builtin.folder_listing import Listing, holds_images
from autotl.builtin.split_names import split_of
from autotl.pixels import printable

_LABELS = frozenset({"labels", "label"})
_ANNOTATIONS = frozenset({"annotations", "annotation"})
_PICTURES = re.compile(
    r"((train|val|valid|test)[-_]?)?(images?|imgs?|jpe?gimages|photos?|pictures?)[-_]?"
    r"(train|val|valid|test)?(\d{4})?",
    re.IGNORECASE,
)
_DATED_SPLIT = re.compile(r"(.*?)[-_]?\d{4}$")
_YOLO = re.compile(r"\s*\d+(\s+-?\d*\.?\d+(e-?\d+)?){4,}\s*$", re.IGNORECASE)
_VOC = re.compile(r"\s*<annotation\b", re.IGNORECASE)
_DECLARATION = re.compile(r"<\?xml.*?\?>", re.DOTALL)
_PREFIX = re.compile(r"([^\W\d_]+(?:[-_ ][^\W\d_]+)*)[-_. (]*\d+\)?$")
_MOST_LOOKED_AT = 4096


def unlabelled(folder: Listing, expected: str, *, top: Listing) -> str:
    """A hint for images that lie directly in `folder`, which is `top` or lies in it: a table there
    that may name their classes, or file names that seem to; else `expected`.
    """
    places = (folder.path,) if folder.path == top.path else (folder.path, top.path)
    found = [place / name for place in places for name in sorted(_files(place, tables.SUFFIXES))]
    if len(found) == 1:
        path = quote(printable(str(found[0])))
        return (
            f"If the table beside them names their classes, give it: autotl fit {path}. {expected}"
        )
    if found:
        named = ", ".join(printable(table.name) for table in found[:5])
        return (
            f"If one of the tables beside them ({named}) names their classes, give that instead "
            f"of the folder. {expected}"
        )
    if counted := prefixes(folder):
        shown = ", ".join(f"{printable(name)} ({count:,})" for name, count in counted[:5])
        more = f" and {len(counted) - 5} more" if len(counted) > 5 else ""
        return (
            f"The file names begin with what may be classes: {shown}{more}. Move the images into "
            "folders of these names, or write a table with the columns file and label, a line an "
            f"image, and give that. {expected}"
        )
    return expected


def prefixes(folder: Listing) -> list[tuple[str, int]]:
    """(word, images) of the words that file names such as cat_01.jpg or dog.7.jpg begin with, most
    images first; none unless there are several and each begins two names or more.
    """
    found = Counter(match[1] for name in folder.images if (match := _PREFIX.match(Path(name).stem)))
    few = len(found) < 2 or len(found) > max(2, len(folder.images) // 2)
    if few or sum(found.values()) < 0.9 * len(folder.images) or min(found.values()) < 2:
        return []
    return found.most_common()


def unsorted(name: str, folder: Listing, top: Listing) -> str:
    """A hint for data whose one class folder is named as all images are; "" where its images may
    well be of one class.
    """
    return unlabelled(folder, "", top=top).strip() if _PICTURES.fullmatch(name) else ""


def boxes(top: Listing, below: Mapping[str, Listing]) -> str:
    """What in a folder says that its labels are boxes (YOLO, COCO, Pascal VOC); "" where nothing
    does, or where images lie in folders that may be classes.
    """
    places = {"": (top, below)}
    for name, folder in below.items():
        if split_of(name):
            places[f"{printable(name)}/"] = (folder, {n: folder.below(n) for n in folder.folders})
    for where, (folder, inside) in places.items():
        sign = _sign(folder, inside)
        if sign and _no_classes(top, below) and _no_classes(folder, inside):
            return sign.format(where=where, place=where or "the folder")
    return ""


def _sign(folder: Listing, inside: Mapping[str, Listing]) -> str:
    if any(name.endswith("coco.json") for name in _files(folder.path, (".json",))):
        return "{where}*.coco.json names boxes (COCO)"
    for name, other in inside.items():
        endings = _endings(other)
        if name.casefold() in _LABELS and ".txt" in endings and _first(other, ".txt", _YOLO):
            return f"{{where}}{name}/ holds boxes in text files (YOLO)"
        if name.casefold() in _ANNOTATIONS and {".json", ".xml"} & endings:
            form = "COCO" if ".json" in endings else "Pascal VOC"
            return f"{{where}}{name}/ holds descriptions of images ({form})"
    return _sign_beside(folder)


def _sign_beside(folder: Listing) -> str:
    """The sign of one text or XML file beside each image, under the same name."""
    counts = Counter(folder.others)
    if not folder.images:
        return ""
    if counts[".txt"] >= len(folder.images) / 2 and _first(folder, ".txt", _YOLO):
        return "a text file of boxes lies beside each image in {place} (YOLO)"
    if counts[".xml"] >= len(folder.images) / 2 and _first(folder, ".xml", _VOC):
        return "an XML file of boxes lies beside each image in {place} (Pascal VOC)"
    return ""


def _no_classes(folder: Listing, inside: Mapping[str, Listing]) -> bool:
    """Whether each folder that holds images is named as all images are, or as a split."""
    return all(
        _PICTURES.fullmatch(name) or _is_split(name)
        for name, other in inside.items()
        if holds_images(other)
    )


def _is_split(name: str) -> bool:
    dated = _DATED_SPLIT.match(name)
    return split_of(dated[1] if dated else name) is not None


def _endings(folder: Listing) -> set[str]:
    """The endings of files in a folder, and in those directly in it, that are no images."""
    deeper = [ending for name in folder.folders[:8] for ending in folder.below(name).others]
    return {*folder.others, *deeper}


def _first(folder: Listing, suffix: str, pattern: re.Pattern[str]) -> bool:
    """Whether the first line that says something, of one such file in the folder or in one
    directly in it, is as the pattern wants it.
    """
    for place in (folder.path, *(folder.path / name for name in folder.folders[:8])):
        for name in sorted(_files(place, (suffix,)))[:8]:
            try:
                with (place / name).open("rb") as stream:
                    text = stream.read(_MOST_LOOKED_AT).decode("utf-8-sig", "replace")
            except OSError:
                continue
            said = [line for line in _DECLARATION.sub("", text).splitlines() if line.strip()]
            if said and name.casefold() != "classes.txt":
                return pattern.match(said[0]) is not None
    return False


def _files(folder: Path, suffixes: tuple[str, ...]) -> Iterator[str]:
    """The names of regular files in a folder that end so."""
    try:
        entries = list(folder.iterdir())
    except OSError:
        return
    for entry in entries:
        hidden = entry.name.startswith(".")
        if entry.suffix.lower() in suffixes and not hidden and entry.is_file():
            yield entry.name

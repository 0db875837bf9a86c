"""The usual spellings of train, validation and test, in names of folders and of arrays."""

from __future__ import annotations

import re

_SPELLINGS = {
    "train": ("train", "training", "tr", "trn"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "tst", "ts", "holdout"),
}
_SPLIT_OF = {word: split for split, words in _SPELLINGS.items() for word in words}
_FILLERS = frozenset({"set", "data", "images", "imgs", "split", "folder", "dir"})


def words_of(name: str) -> tuple[str, ...]:
    """The words of a name such as `Training_Set` or `x_train`, in lower case."""
    joined = re.sub(r"hold[-_ .]out", "holdout", name.casefold())
    return tuple(word for word in re.split(r"[-_ .]+", joined) if word)


def split_of_word(word: str) -> str | None:
    """The split that one word of `words_of` names: "train", "validation", "test" or None."""
    return _SPLIT_OF.get(word) or _SPLIT_OF.get(word.removesuffix("set"))


def split_of(name: str) -> str | None:
    """The split that a folder's name says (`Training_Set`, `val`, `TEST`), else None."""
    words = [word for word in words_of(name) if word not in _FILLERS]
    return split_of_word(words[0]) if len(words) == 1 else None

"""The small residual network that ships with the package: facts only, no keras, no NumPy.

The graph is in `network`, the training that made the weights in `recipe`, and what the
weights are good for in `MODEL_CARD.md`.
"""

import hashlib
from pathlib import Path

FOLDER = Path(__file__).parent
"""Holds the weights, the reference statistics, their checksums, the class names and the card."""

WEIGHTS_FILE = FOLDER / "weights.npz"
REFERENCE_FILE = FOLDER / "reference.npz"
REFERENCE_IMAGES = 10_000
"""The official validation images, none of which was trained on."""

CHECKSUM_FILE = FOLDER / "SHA256SUMS"
CLASSES_FILE = FOLDER / "classes.txt"

STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")
"""Layer names in forward order; each is a cut through a single tensor."""

PARAMETERS = 1_341_760
"""Parameters of the network without a head, batch-norm statistics included."""

MEAN = (0.4802, 0.4481, 0.3975)
"""Mean of red, green and blue over the Tiny ImageNet training set, on the 0..1 scale."""

DEVIATION = (0.2770, 0.2691, 0.2821)
"""Standard deviation of red, green and blue over the same set, on the 0..1 scale."""


def recorded_checksum(name: str = WEIGHTS_FILE.name) -> str:
    """Return the SHA-256 (lower-case hexadecimal) recorded for the file `name`.

    Raises ValueError when none is recorded.
    """
    if CHECKSUM_FILE.is_file():
        for line in CHECKSUM_FILE.read_text(encoding="utf-8").splitlines():
            digest, _, recorded = line.partition("  ")
            if recorded == name:
                return digest
    raise ValueError(f"no checksum of {name!r} is recorded in {CHECKSUM_FILE}")


def check_weights(path: Path = WEIGHTS_FILE) -> None:
    """Raise ValueError unless the file at `path` is the one whose checksum is recorded."""
    if not path.is_file():
        raise ValueError(f"{path} is missing: this package came without its weights")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != recorded_checksum():
        raise ValueError(f"{path} is damaged: its SHA-256 is {found}, not {recorded_checksum()}")


def classes() -> tuple[tuple[str, str], ...]:
    """Return (WordNet id, name) of the 200 classes, in the order of the training labels."""
    lines = CLASSES_FILE.read_text(encoding="utf-8").splitlines()
    return tuple((identifier, name) for identifier, _, name in (x.partition("\t") for x in lines))

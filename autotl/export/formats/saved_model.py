"""A TensorFlow SavedModel that takes raw images; it loads with TensorFlow alone.

`write` and `answers` run in the worker: TensorFlow is never in the parent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import ParityError
from autotl.export.asking import Answer, Candidate, Pixels
from autotl.export.features import with_features
from autotl.export.formats.saved_model_resize import resized
from autotl.export.formats.source import Source, write_card, write_readme
from autotl.export.gate import Checked, hold
from autotl.export.graph import EMBEDDING, IMAGE, LABEL, PIXELS, PROBABILITIES
from autotl.records import Preprocessing, from_json, to_json

if TYPE_CHECKING:
    from autotl.worker import Worker

SERVING = "serving_default"

TEXT = """
# {name}, as a TensorFlow SavedModel

The signature `serving_default` takes `image`, uint8 `[batch, height, width, 3]`, RGB, of any size,
and gives `probabilities` and `label`; the resize is inside. The signature `pixels` gives the
resized images alone. `card.json` says what the model is.

```python
import sys

import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps

serve = tf.saved_model.load(".").signatures["serving_default"]
image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGBA")
white = Image.new("RGBA", image.size, "white")
image = Image.alpha_composite(white, image).convert("RGB")
answer = serve(image=tf.constant(np.asarray(image)[None]))
print(answer["label"][0].numpy().decode(), float(tf.reduce_max(answer["probabilities"])))
```
"""

REMARKS = (
    "TensorFlow Serving was not run; it wants this folder under a number, as `NAME/1`.",
    "Devices other than the processor were not run.",
)


def make(source: Source, out: Path, worker: Worker, progress: Progress | None = None) -> Checked:
    """Write the SavedModel into the folder `out` and put it through the gate, run by TensorFlow."""
    subject = source.subject
    spec = {
        "model": str(subject.keras_model),
        "preprocessing": to_json(subject.preprocessing),
        "classes": list(source.classes),
        "out": str(out),
        "embedding": subject.features is not None,
    }
    written = worker.call("autotl.export.formats.saved_model:write", spec, progress=progress)
    with tempfile.TemporaryDirectory(prefix=".gate-", dir=subject.folder) as folder:
        asked = candidate(out, source.classes, worker, Path(folder), subject.features)
        parity, checks = hold(asked, subject, worker, progress=progress)
    runtime = f"TensorFlow {written['version']}"
    declared = f"{runtime} sees the declared inputs and outputs, and ran what follows"
    checked = parity, (declared, *checks)
    write_card(source, out)
    write_readme(source, out, TEXT.format(name=source.name), checked, REMARKS)
    return checked


def candidate(
    path: Path, classes: Sequence[str], worker: Worker, folder: Path, features: int | None = None
) -> Candidate:
    """The SavedModel as the worker runs it; `folder` takes what is asked and answered, `features`
    is the length of its embedding, None where it gives none.

    Raises `ParityError` where it does not load or has another signature than the declared one.
    """
    asked, answered = folder / "asked.npy", folder / "answered.npy"

    def ask(output: str, images: Pixels) -> tuple[NDArray[np.float32], list[str]]:
        np.save(asked, images, allow_pickle=False)
        spec = {"path": str(path), "output": output, "classes": len(classes)}
        spec |= {"images": str(asked), "out": str(answered), "features": features}
        labels = worker.call("autotl.export.formats.saved_model:answers", spec)["labels"]
        return np.load(answered, allow_pickle=False), labels

    def answer(images: Pixels) -> Answer:
        return ask(PROBABILITIES, images)

    return Candidate(
        answer=answer,
        resized=lambda images: ask(PIXELS, images)[0],
        embedding=None if features is None else lambda images: ask(EMBEDDING, images)[0],
    )


# ---- the worker's part ----


def write(spec: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Write a saved Keras model as a SavedModel.

    `spec`: model (`.keras`), preprocessing, classes, out (a folder), embedding (whether it gives
    one). Gives TensorFlow's version.
    """
    import keras
    import tensorflow as tf

    progress("convert", 0, 1)
    model = keras.models.load_model(spec["model"], compile=False)
    whole = with_features(model) if spec["embedding"] else model
    preprocessing = from_json(Preprocessing, spec["preprocessing"])
    names = tf.constant(spec["classes"])

    def pixels(image: Any) -> dict[str, Any]:
        return {PIXELS: resized(image, preprocessing)}

    def serve(image: Any) -> dict[str, Any]:
        given = keras.tree.flatten(whole(resize(image)[PIXELS], training=False))
        label = tf.gather(names, tf.argmax(given[0], axis=1))
        named = zip((PROBABILITIES, EMBEDDING), given, strict=False)
        return {LABEL: label} | {name: tf.identity(tensor) for name, tensor in named}

    given = [tf.TensorSpec((None, None, None, 3), tf.uint8, name=IMAGE)]
    resize, served = (tf.function(each, input_signature=given) for each in (pixels, serve))
    kept = tf.Module()
    # the bare variables: with the Keras model its layers would be written too, and read with keras
    kept.weights = [variable.value for variable in model.variables]
    tf.saved_model.save(kept, spec["out"], signatures={SERVING: served, PIXELS: resize})
    progress("convert", 1, 1)
    return {"version": tf.__version__}


def answers(spec: dict[str, Any], progress: Progress) -> dict[str, list[str]]:
    """Ask a SavedModel, which is kept for the next question.

    `spec`: path (its folder), classes (how many), features (the embedding's length or None), images
    (`.npy`, uint8 (batch, height, width, 3)), output (the name of what is wanted), out (`.npy`,
    written: that, float32). Gives the labels, none for the pixels. Raises `ParityError` where it
    does not load, is not as declared, or fails.
    """
    import tensorflow as tf

    model = _loaded(spec["path"], _stamp(Path(spec["path"])), spec["classes"], spec["features"])
    signature = PIXELS if spec["output"] == PIXELS else SERVING
    images = np.load(spec["images"], allow_pickle=False)
    try:
        with tf.device("cpu:0"):
            found = model.signatures[signature](**{IMAGE: tf.constant(images)})
    except tf.errors.ResourceExhaustedError:
        raise
    except tf.errors.OpError as error:
        raise _failed(f"The SavedModel fails on images of shape {images.shape}.", error) from error
    np.save(spec["out"], found[spec["output"]].numpy(), allow_pickle=False)
    return {"labels": [label.decode() for label in found[LABEL].numpy()] if LABEL in found else []}


def _stamp(folder: Path) -> int:
    """When the last of its files was written, in nanoseconds."""
    return max(path.stat().st_mtime_ns for path in (folder, *folder.rglob("*")))


@lru_cache(maxsize=1)
def _loaded(path: str, stamp: int, classes: int, features: int | None) -> Any:
    """The model as it was at `stamp`, once its signatures are seen to be the declared ones."""
    import tensorflow as tf

    try:
        with tf.device("cpu:0"):
            model = tf.saved_model.load(path)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise
    except Exception as error:  # on torn files TensorFlow raises IndexError and a dozen others
        raise _failed("TensorFlow does not load the SavedModel.", error) from error
    image = tf.TensorSpec((None, None, None, 3), tf.uint8, name=IMAGE)
    declared = {
        PROBABILITIES: tf.TensorSpec((None, classes), tf.float32, name=PROBABILITIES),
        LABEL: tf.TensorSpec((None,), tf.string, name=LABEL),
    }
    if features is not None:
        declared[EMBEDDING] = tf.TensorSpec((None, features), tf.float32, name=EMBEDDING)
    serve = model.signatures.get(SERVING)
    if (
        PIXELS not in model.signatures
        or serve.structured_input_signature != ((), {IMAGE: image})
        or serve.structured_outputs != declared
    ):
        raise ParityError(
            "TensorFlow sees other inputs or outputs than the declared ones.",
            details=tuple(f"{name}: {found}" for name, found in model.signatures.items()),
        )
    return model


def _failed(message: str, error: Exception) -> ParityError:
    return ParityError(message, details=tuple(str(error).strip().splitlines()[:5]))

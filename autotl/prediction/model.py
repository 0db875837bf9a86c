"""A model file with its card: what it takes, what it gives, and when it abstains."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.errors import UsageError
from autotl.files import expanded, look
from autotl.modelfile import ModelFile, examined, open_session

if TYPE_CHECKING:
    import onnxruntime

CARD_KEY = "autotl"
CARD_SCHEMA = "autotl-card/1"
INPUT, PROBABILITIES, LABEL = "image", "probabilities", "label"
"""The names in a file that we wrote; a card from elsewhere may tell others."""

WRITE_A_CARD = """Models that `autotl fit` exported have one. Another classifier needs one put in:
  import json, onnx
  model = onnx.load("{name}", load_external_data=False)
  card = {{"schema": "autotl-card/1", "classes": [...], "input": {{"name": {image!r}}},
          "outputs": {{"probabilities": {scores!r}, "label": None}}}}
  model.metadata_props.add(key="autotl", value=json.dumps(card))
  open("{name}", "wb").write(model.SerializeToString())
Its input must be uint8 (batch, height, width, 3), its output probabilities (batch, classes)."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """An open model file, the files `beside` it with its weights, where they are not in it, its
    card, and its classes in the order of its probabilities.

    `input`, `probabilities` and `label` (None: there is none) are names in the graph. `sides` is
    the height and width that its input demands, None where it takes any. `alone` means that it
    takes one image at a time. `size` is the side to which the graph resizes images, the shorter
    one where it then `crops`; None where the card does not tell. `threshold` is the probability
    below which the model abstains, None where it never does.
    """

    path: Path
    session: onnxruntime.InferenceSession
    card: Mapping[str, Any]
    classes: tuple[str, ...]
    input: str = INPUT
    probabilities: str = PROBABILITIES
    label: str | None = LABEL
    sides: tuple[int | None, int | None] = (None, None)
    alone: bool = False
    beside: tuple[Path, ...] = ()
    size: int | None = None
    crops: bool = False
    threshold: float | None = None


def open_model(path: str | Path, *, spinning: bool = False) -> Model:
    """Open an exported model, or the run folder that holds one.

    The file is looked at first (`modelfile.examined`). `spinning` pays where
    what is run is decoded already, or single images are run by themselves, on a processor with
    nothing else to do. Raises `UsageError` saying what is missing, does not fit, or is refused.
    """
    path = expanded(Path(path))
    path = path / "model.onnx" if look(path) == "folder" else path
    if look(path) is None:
        raise UsageError(
            f"There is no model at {path}.",
            hint="Name the model.onnx that `autotl fit` wrote, or its run folder.",
        )
    file = examined(path)
    session = open_session(path, spinning=spinning)
    card = _card(file, session)
    names = _names(card, session, path)
    return replace(_fitting(session, card, names, path), beside=file.external)


def _card(file: ModelFile, session: onnxruntime.InferenceSession) -> dict[str, Any]:
    text = file.metadata.get(CARD_KEY)
    if text is None:
        raise _no_card(file.path, session)
    try:
        card = json.loads(text)
    except RecursionError as error:
        raise UsageError(f"The autotl card in {file.path} is nested too deep.") from error
    except ValueError as error:
        raise UsageError(f"The autotl card in {file.path} is not JSON.") from error
    schema = card.get("schema") if isinstance(card, dict) else None
    if schema != CARD_SCHEMA:
        raise UsageError(
            f"The card in {file.path} is of schema {schema!r}; this autotl reads {CARD_SCHEMA!r}.",
            hint="Use the version of autotl that wrote the file.",
        )
    return dict(card)


def _no_card(path: Path, session: onnxruntime.InferenceSession) -> UsageError:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    scores = [value.name for value in outputs if "float" in value.type] or [PROBABILITIES]
    hint = WRITE_A_CARD.format(
        name=path.name, image=inputs[0].name if inputs else INPUT, scores=scores[0]
    )
    return UsageError(
        f"{path} has no autotl card, so its labels and input are not known.",
        details=(f"missing: '{CARD_KEY}' in the file's metadata", *_signature(session)),
        hint=hint,
    )


def _signature(session: onnxruntime.InferenceSession) -> tuple[str, ...]:
    return tuple(
        f"{what}: {value.name!r} {value.type} {value.shape}"
        for what, values in (("input", session.get_inputs()), ("output", session.get_outputs()))
        for value in values
    )


def _names(
    card: Mapping[str, Any], session: onnxruntime.InferenceSession, path: Path
) -> tuple[str, str, str | None]:
    """Names of the input, the probabilities and the label (None: there is none)."""
    given, told = card.get("input", {}), card.get("outputs", {})
    if not isinstance(given, dict) or not isinstance(told, dict):
        raise _unfit(path, session, "its 'input' and 'outputs' must be objects")
    label = told.get("label", None if told else LABEL)
    names = (given.get("name", INPUT), told.get("probabilities", PROBABILITIES), label)
    if not all(isinstance(name, str) for name in names[: 2 if label is None else 3]):
        raise _unfit(path, session, "a name in its 'input' or 'outputs' is no text")
    return names


def _fitting(
    session: onnxruntime.InferenceSession,
    card: Mapping[str, Any],
    names: tuple[str, str, str | None],
    path: Path,
) -> Model:
    """The model, where its card and its graph belong together."""
    image, scores, label = names
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value for value in session.get_outputs()}
    wanted = f"the input {image!r} and the outputs {', '.join(map(repr, filter(None, names[1:])))}"
    if set(inputs) != {image} or not {scores, label} - {None} <= set(outputs):
        raise _unfit(path, session, f"it must have {wanted}, or the card must name them")
    classes = _classes(card)
    columns = [side for side in outputs[scores].shape[-1:] if isinstance(side, int)]
    if not classes or columns not in ([], [len(classes)]):  # [] where only a run shows how many
        raise _unfit(path, session, f"{scores!r} must have a column for each of its classes")
    if "float" not in outputs[scores].type or len(outputs[scores].shape) != 2:
        raise _unfit(path, session, f"{scores!r} must be floats (batch, classes)")
    if label is not None and outputs[label].type != "tensor(string)":
        raise _unfit(path, session, f"{label!r} must be text")
    batch, *sides = _sides(inputs[image], session, path)
    size, crops = _resizing(card)
    return Model(
        path=path,
        session=session,
        card=card,
        classes=classes,
        input=image,
        probabilities=scores,
        label=label,
        sides=(sides[0], sides[1]),
        alone=batch == 1,
        size=size,
        crops=crops,
        threshold=_threshold(card, path),
    )


def _classes(card: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the classes; none where the card has no list of names."""
    found = card.get("classes")
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        return ()
    return tuple(found) if len(set(found)) == len(found) else ()


def _sides(value: Any, session: onnxruntime.InferenceSession, path: Path) -> Sequence[int | None]:
    """Batch, height and width that the input demands, None where any will do."""
    shape = list(value.shape)
    fits = value.type == "tensor(uint8)" and len(shape) == 4 and shape[3] == 3
    if not fits or (isinstance(shape[0], int) and shape[0] != 1):
        raise _unfit(
            path,
            session,
            f"{value.name!r} must be uint8 (batch, height, width, 3) with any batch, or with one "
            "image; what else a network needs belongs into its graph",
        )
    return [side if isinstance(side, int) else None for side in shape[:3]]


def _resizing(card: Mapping[str, Any]) -> tuple[int | None, bool]:
    """The side to which the graph resizes, None where the card does not tell, and whether it cuts
    what is longer.
    """
    told = card.get("preprocessing")
    if not isinstance(told, dict):
        return None, False
    size = told.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        return None, False
    return size, told.get("resize") == "crop"


def _threshold(card: Mapping[str, Any], path: Path) -> float | None:
    abstention = card.get("abstention")
    if abstention is None:
        return None
    value = abstention.get("threshold") if isinstance(abstention, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UsageError(
            f"The card in {path} says when to abstain by {value!r}, which is no probability."
        )
    return float(value)


def _unfit(path: Path, session: onnxruntime.InferenceSession, why: str) -> UsageError:
    return UsageError(
        f"The card in {path} does not fit its graph: {why}.", details=_signature(session)
    )

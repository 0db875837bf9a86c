"""OpenVINO's intermediate representation: `model.xml` and `model.bin`, checked in its runtime.

It is read from the ONNX file by the runtime itself. Its resize is put in place of the ONNX file's,
which OpenVINO computes otherwise than Pillow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autotl.calls import Progress
from autotl.errors import ParityError
from autotl.export.asking import Answer, Candidate, Pixels
from autotl.export.formats.openvino_import import imported
from autotl.export.formats.openvino_resize import front
from autotl.export.formats.source import Source, write_card, write_readme
from autotl.export.gate import Checked, hold
from autotl.export.graph import EMBEDDING, IMAGE, LABEL, PIXELS, PROBABILITIES
from autotl.records import Preprocessing

if TYPE_CHECKING:
    import openvino

    from autotl.worker import Worker

MODEL = "model.xml"
DEVICE, PRECISION = "CPU", {"INFERENCE_PRECISION_HINT": "f32"}

TEXT = """
# {name}, for OpenVINO

`model.xml` and `model.bin` take `image`, uint8 `[batch, height, width, 3]`, RGB, of any size, and
give `probabilities` and `label`; the resize is inside. `card.json` says what the model is.

```python
import sys

import numpy as np
import openvino
from PIL import Image, ImageOps

model = openvino.Core().compile_model("model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("RGBA")
white = Image.new("RGBA", image.size, "white")
image = Image.alpha_composite(white, image).convert("RGB")
answer = model(np.asarray(image)[None])
print(answer["label"][0], answer["probabilities"][0].max())
```

Keep the precision hint: without it OpenVINO takes bfloat16 or float16 where the processor has it,
which is not what was checked. Importing `openvino` sends usage figures to its makers, unless
`openvino_telemetry` is uninstalled or declined (`opt_in_out --opt_out`).
"""

REMARKS = ("OpenVINO Model Server, and devices other than the processor, were not run.",)


def make(source: Source, out: Path, worker: Worker, progress: Progress | None = None) -> Checked:
    """Write the model into the folder `out` and put it through the gate, run by OpenVINO."""
    write(source.onnx, source.subject.preprocessing, out / MODEL)
    asked = candidate(out / MODEL, source.classes, source.subject.features)
    parity, checks = hold(asked, source.subject, worker, progress=progress)
    runtime = f"OpenVINO {imported().__version__.partition('-')[0]}"
    declared = f"{runtime} sees the declared inputs and outputs, and ran what follows, in float32"
    checked = parity, (declared, *checks)
    write_card(source, out)
    write_readme(source, out, TEXT.format(name=source.name), checked, REMARKS)
    return checked


def write(onnx: Path, preprocessing: Preprocessing, path: Path) -> None:
    """Write the ONNX file's model, with the resize in OpenVINO's operators, as `path` (.xml) and
    a .bin beside it, in float32; raises `ParityError` where OpenVINO cannot.
    """
    openvino = imported()
    try:
        given = openvino.Core().read_model(onnx)
        image, pixels = front(preprocessing)
        for target in _named(given, PIXELS).get_target_inputs():
            target.replace_source_output(pixels.output(0))
        image.output(0).set_names({IMAGE})
        pixels.output(0).set_names({PIXELS})
        model = openvino.Model(given.get_results(), [image], "autotl")
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        raise _failed("OpenVINO does not convert the exported model.", error) from error


def candidate(path: Path, classes: Sequence[str], features: int | None = None) -> Candidate:
    """The written model in OpenVINO's runtime, on the processor and in float32; `features` is the
    length of its embedding, None where it gives none.

    Raises `ParityError` where it does not load or has other inputs or outputs than declared.
    """
    openvino = imported()
    core = openvino.Core()
    try:
        model = core.read_model(path)
        complete = core.compile_model(model, DEVICE, PRECISION)
        part = openvino.Model([_named(model, PIXELS)], model.get_parameters(), PIXELS)
        resizing = core.compile_model(part, DEVICE, PRECISION)
    except RuntimeError as error:
        raise _failed("OpenVINO does not load the exported model.", error) from error
    _check_signature(complete, len(classes), features)
    return Candidate(
        answer=_answerer(complete),
        resized=_resizer(resizing),
        embedding=None if features is None else _embedder(complete),
    )


def _named(model: openvino.Model, name: str) -> Any:
    """The output inside the model that bears the name."""
    for node in model.get_ordered_ops():
        for output in node.outputs():
            if name in output.get_names():
                return output
    raise ParityError(f"OpenVINO's model has nothing that is called {name}.")


def _answerer(model: openvino.CompiledModel) -> Callable[[Pixels], Answer]:
    request = model.create_infer_request()

    def answer(images: Pixels) -> Answer:
        found = _run(request, images)
        probabilities = np.array(found[PROBABILITIES], np.float32)
        return probabilities, [str(label) for label in found[LABEL]]

    return answer


def _embedder(model: openvino.CompiledModel) -> Callable[[Pixels], NDArray[np.float32]]:
    request = model.create_infer_request()
    return lambda images: np.array(_run(request, images)[EMBEDDING], np.float32)


def _resizer(model: openvino.CompiledModel) -> Callable[[Pixels], NDArray[np.float32]]:
    request = model.create_infer_request()
    return lambda images: np.array(_run(request, images)[0], np.float32)


def _run(request: Any, images: Pixels) -> Any:
    try:
        return request.infer({0: images})
    except RuntimeError as error:
        raise _failed(f"OpenVINO fails on images of shape {images.shape}.", error) from error


def _check_signature(
    model: openvino.CompiledModel, classes: int, features: int | None = None
) -> None:
    given = (PROBABILITIES, LABEL, *(() if features is None else (EMBEDDING,)))
    found = [
        [(name in value.get_names(), value.element_type.to_string(), str(value.partial_shape))]
        for name, value in zip((IMAGE, *given), (*model.inputs, *model.outputs), strict=False)
    ]
    declared = [
        [(True, "u8", "[?,?,?,3]")],
        [(True, "f32", f"[?,{classes}]")],
        [(True, "string", "[?]")],
        *([] if features is None else [[(True, "f32", f"[?,{features}]")]]),
    ]
    if found != declared or (len(model.inputs), len(model.outputs)) != (1, len(given)):
        raise ParityError(
            "OpenVINO sees other inputs or outputs than the declared ones.",
            details=(f"found: {[*model.inputs, *model.outputs]}",),
        )


def _failed(message: str, error: Exception) -> ParityError:
    return ParityError(message, details=tuple(str(error).strip().splitlines()[:5]))

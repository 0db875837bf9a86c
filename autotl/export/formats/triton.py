"""A model repository for Triton Inference Server: the ONNX file and its configuration.

No server runs here. The ONNX file goes through the gate as Triton's backend would run it, by
onnxruntime; the configuration is read by Triton's own schema and held against what onnxruntime
sees in the file.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autotl.calls import Progress
from autotl.errors import ParityError
from autotl.export import outside, runtime
from autotl.export.formats.source import Source, write_card, write_readme
from autotl.export.gate import Checked, examine
from autotl.export.graph import EMBEDDING, IMAGE, LABEL, PROBABILITIES

if TYPE_CHECKING:
    from autotl.worker import Worker

CONFIG, MODEL, LABELS = "config.pbtxt", "model.onnx", "labels.txt"
MAX_BATCH = 32
"""Images in a request or a batch that Triton forms; the gate asks as many at once."""

PLATFORM = "onnxruntime_onnx"
TYPES = {
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(float)": "TYPE_FP32",
    "tensor(string)": "TYPE_STRING",
}

CONFIGURATION = """\
name: {name}
platform: "{platform}"
backend: "onnxruntime"
default_model_filename: "{model}"
max_batch_size: {batch}
input [
  {{ name: "{image}" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }}
]
output [
  {{ name: "{probabilities}" data_type: TYPE_FP32 dims: [ {classes} ]{labels} }},
  # a label an image: Triton wants a dimension besides the batch, the model has none
  {{ name: "{label}" data_type: TYPE_STRING dims: [ 1 ] reshape {{ shape: [ ] }} }}{embedding}
]
# only requests whose images have one size are put into one batch
dynamic_batching {{ }}
version_policy {{ latest {{ num_versions: 1 }} }}
# the processor, on which the file was checked; KIND_GPU where your server has one
instance_group [ {{ kind: KIND_CPU }} ]
"""

OF_EMBEDDING = """,
  {{ name: "{name}" data_type: TYPE_FP32 dims: [ {length} ] }}"""

TEXT = """
# {name}, for Triton Inference Server

This folder is a model repository. `{name}/1/model.onnx` takes `image`, uint8
`[batch, height, width, 3]`, RGB, of any size, and gives `probabilities` and `label`; the resize is
inside. Serve it, by a release that has onnxruntime {version} or a later one:

```
docker run --rm -p 8000:8000 -p 8001:8001 -p 8002:8002 -v "$PWD:/models" \\
  nvcr.io/nvidia/tritonserver:RELEASE-py3 tritonserver --model-repository=/models
```

Ask it (`pip install 'tritonclient[grpc]' pillow`):

```python
import sys

import numpy as np
import tritonclient.grpc as triton
from PIL import Image, ImageOps

upright = ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGBA")
white = Image.new("RGBA", upright.size, "white")
upright = Image.alpha_composite(white, upright).convert("RGB")
pixels = np.asarray(upright)[None]
image = triton.InferInput("image", pixels.shape, "UINT8")
image.set_data_from_numpy(pixels)
answer = triton.InferenceServerClient(sys.argv[1]).infer("{name}", [image])
print(answer.as_numpy("label")[0, 0].decode(), answer.as_numpy("probabilities")[0].max())
```

Triton puts requests into one batch only where their images have one size, as a camera's have:
resize nothing yourself to get there, the model's own resize is the one that was trained with.
"""

REMARKS = (
    "No Triton server was run: the configuration was read, and the file run by onnxruntime alone.",
    "Devices other than the processor were not run.",
)


def make(source: Source, out: Path, worker: Worker, progress: Progress | None = None) -> Checked:
    """Write the model repository into the folder `out`; check the configuration and put the ONNX
    file in it through the gate.
    """
    name = model_name(source.name)
    folder = out / name
    write(source.onnx, folder, source.classes, source.subject.features)
    read = check(folder, source.classes)
    parity, checks = examine(folder / "1" / MODEL, source.subject, worker, progress=progress)
    checked = parity, (read, *checks)
    text = TEXT.format(name=name, version=runtime.version())
    write_card(source, out)
    write_readme(source, out, text, checked, REMARKS)
    return parity, (read, *checks, "no Triton server was run")


def model_name(run: str) -> str:
    """The run's name as Triton, file systems and URLs take it."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", run).strip("-") or "model"


def write(onnx: Path, folder: Path, classes: Sequence[str], features: int | None = None) -> None:
    """Write a model's folder: configuration, a copy of the ONNX file, and of what lies beside it,
    as version 1, and the labels, one a line, where each is a line. `features` is the length of its
    embedding, None where it gives none.
    """
    (folder / "1").mkdir(parents=True)
    for file in outside.files(onnx):
        shutil.copyfile(file, folder / "1" / file.name)
    lines = all(name.splitlines() == [name] for name in classes)
    if lines:
        (folder / LABELS).write_text("".join(f"{name}\n" for name in classes), "utf-8")
    text = CONFIGURATION.format(
        name=json.dumps(folder.name),
        platform=PLATFORM,
        model=MODEL,
        batch=MAX_BATCH,
        image=IMAGE,
        probabilities=PROBABILITIES,
        label=LABEL,
        embedding="" if features is None else OF_EMBEDDING.format(name=EMBEDDING, length=features),
        classes=len(classes),
        labels=f' label_filename: "{LABELS}"' if lines else "",
    )
    (folder / CONFIG).write_text(text, "utf-8")


def check(folder: Path, classes: Sequence[str]) -> str:
    """Read the configuration by Triton's schema and hold it against the ONNX file as onnxruntime
    sees it; gives the check in words, raises `ParityError`.
    """
    config = _parsed(folder / CONFIG)
    session = runtime.open_session(folder / "1" / MODEL)
    expected = _tensors(session.get_inputs()), _tensors(session.get_outputs())
    found = _configured(config.input), _configured(config.output)
    if found != expected:
        raise ParityError(
            f"{CONFIG} has other inputs or outputs than the ONNX file.",
            details=(f"{CONFIG}: {found}", f"{MODEL}: {expected}"),
        )
    if (config.name, config.platform) != (folder.name, PLATFORM) or config.max_batch_size < 1:
        raise ParityError(f"{CONFIG} is not one for {folder.name}, run in batches by onnxruntime.")
    for output in config.output:
        if output.label_filename:
            labels = (folder / output.label_filename).read_text("utf-8").splitlines()
            if labels != list(classes):
                raise ParityError(
                    f"{output.label_filename} does not list the classes in their order."
                )
    return f"{CONFIG} is valid by Triton's own schema, and agrees with the ONNX file"


def _parsed(path: Path) -> Any:
    from google.protobuf import text_format
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    try:
        return text_format.Parse(path.read_text("utf-8"), ModelConfig())
    except text_format.ParseError as error:
        raise ParityError(f"Triton cannot read {path.name}.", details=(str(error),)) from error


def _tensors(values: Sequence[Any]) -> list[tuple[str, str, list[int]]]:
    """Names, types and sides without the batch, -1 where any will do, of what onnxruntime sees."""
    return [
        (
            value.name,
            TYPES.get(value.type, value.type),
            [side if isinstance(side, int) else -1 for side in value.shape[1:]],
        )
        for value in values
        if not isinstance(value.shape[0], int)
    ]


def _configured(values: Sequence[Any]) -> list[tuple[str, str, list[int]]]:
    """The same of the configuration."""
    from tritonclient.grpc.model_config_pb2 import DataType

    return [
        (
            value.name,
            DataType.Name(value.data_type),
            list(value.reshape.shape if value.HasField("reshape") else value.dims),
        )
        for value in values
    ]

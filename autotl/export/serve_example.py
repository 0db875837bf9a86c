"""Label images with the model.onnx beside this file; needs onnxruntime, NumPy and Pillow alone.

Run: python serve_example.py IMAGE...   (of 8 bits a channel)
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(str(Path(__file__).with_name("model.onnx")))
card = json.loads(session.get_modelmeta().custom_metadata_map["autotl"])
least = card["abstention"]["threshold"] if card["abstention"] else 0.0
for name in sys.argv[1:] or sys.exit(__doc__):
    image = ImageOps.exif_transpose(Image.open(name)).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    pixels = np.asarray(Image.alpha_composite(white, image).convert("RGB"))
    probabilities, labels = session.run(["probabilities", "label"], {"image": pixels[None]})
    confidence = float(probabilities.max())
    print(name, labels[0] if confidence >= least else "unsure", f"{confidence:.4f}", sep="\t")

"""Writes the pictures beside this file and what the image processors of transformers make of them, before they rescale.

Needs the packages of pretrained/testdata/requirements.txt. A file <picture>.<fit>.png holds the 8-bit levels of <picture>
under the fit of that name, which TestFitsEqualTransformers lists. The same versions write the same bytes.
"""
import pathlib

import numpy as np
import transformers as hf
from PIL import Image

HERE = pathlib.Path(__file__).parent
PLAIN = dict(do_rescale=False, do_normalize=False)
FITS = {
    "bilinear": hf.ViTImageProcessor(size=dict(height=16, width=24), resample=2, **PLAIN),
    "bicubic": hf.ViTImageProcessor(size=dict(height=16, width=24), resample=3, **PLAIN),
    "cropped": hf.DeiTImageProcessor(size=dict(height=19, width=28), resample=3, crop_size=dict(height=16, width=24), **PLAIN),
    "shortest": hf.CLIPImageProcessor(size=dict(shortest_edge=24), resample=3, crop_size=dict(height=16, width=24), **PLAIN),
}


def picture(height, width, seed):
    """Waves, edges and noise, so that no filter has an easy task."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    channels = [127 + 90 * np.sin(x / (3 + 2 * c) + y / (5 - c)) + 60 * ((x + (c + 1) * y) % 17 < 5) for c in range(3)]
    noisy = np.stack(channels, -1) + rng.normal(0, 12, (height, width, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def main():
    large, small = picture(47, 61, 1), picture(11, 13, 2)
    pictures = {
        "large.png": large, "small.png": small, "grey.png": large.convert("L"), "palette.png": large.quantize(32),
        "tall.png": picture(53, 29, 3), "photo.jpg": large, "wide.jpg": large, "sharp.jpg": large,
    }
    for name, image in pictures.items():
        options = dict(quality=90, subsampling=dict(photo=2, wide=1, sharp=0)[name[:-4]]) if name.endswith(".jpg") else {}
        image.save(HERE / name, **options)
        for fit, processor in FITS.items():
            with Image.open(HERE / name) as read:
                levels = processor(read.convert("RGB"), return_tensors="np")["pixel_values"][0]
            Image.fromarray(levels.transpose(1, 2, 0).astype(np.uint8)).save(HERE / f"{name}.{fit}.png")


if __name__ == "__main__":
    main()

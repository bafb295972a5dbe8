"""Decode photographs, crop them at random, flip them and change their colours, in worker processes.

Two photographs (scikit-learn's) stand for a folder of them.  The pipeline runs without workers and with them; the
images are the same, one by one, and the first are drawn as a contact sheet.

    python examples/images_augment.py
    python examples/images_augment.py --images 2000 --workers 4 --sheet crops.png
"""

import argparse

import numpy as np
from PIL import Image, ImageEnhance
from sklearn.datasets import load_sample_images

from flazy import Dataset

SIDE = 112  # pixels of what a network would see
BATCH = 32


# The pipeline -------------------------------------------------------------------------------------------------------


def augmented(files, images, workers):
    return (
        Dataset(file=files, label=np.arange(len(files)))
        .shuffle(seed=1)
        .repeat()  # shuffled and augmented anew each time
        .take(images)
        .map(decode, workers=workers)
        .random_map(augment, seed=7, workers=workers)  # in the same workers, right after decode()
        .batch(BATCH, drop_remainder=False)
    )  # fmt: skip


def decode(sample):
    return {"photo": Image.open(sample["file"]).convert("RGB"), "label": sample["label"]}


def augment(sample, rng):
    """Give one view of a photograph: uint8, height x width x channels."""
    image = random_crop(sample["photo"], rng)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = change(image).enhance(rng.uniform(0.75, 1.3))
    # uint8 until the device: floats are four times the bytes to move, and a GPU converts and scales them in no time
    return {"image": np.asarray(image), "label": sample["label"]}


def random_crop(image, rng):
    """Cut out 15 to 70 % of the area, at 3:4 to 4:3, and resize it (the crop of Szegedy et al., 2015)."""
    area = image.width * image.height * rng.uniform(0.15, 0.7)
    ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
    width, height = min((area * ratio) ** 0.5, image.width), min((area / ratio) ** 0.5, image.height)
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    box = (left, top, left + width, top + height)
    return image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box)


# What it shows ------------------------------------------------------------------------------------------------------


def contact_sheet(images, columns=6, margin=4):
    """Lay images out in rows on white, in 256 colours."""
    rows = -(-len(images) // columns)
    height, width = images.shape[1] + margin, images.shape[2] + margin
    sheet = np.full((rows * height + margin, columns * width + margin, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top, left = number // columns * height + margin, number % columns * width + margin
        sheet[top : top + len(image), left : left + image.shape[1]] = image
    return Image.fromarray(sheet).quantize(256)


def run(batches, how):
    """Go through one pass and tell how fast that was, the start of the workers included; give its images."""
    with batches.open() as opened:
        images = [image for batch in opened for image in batch["image"]]  # a training loop would take its steps here
    stats = opened.stats()
    print(f"{len(images) / stats.seconds:6.0f} images/s {how}")
    for stage in stats.segments:
        print(f"       {stage.name}: {stage.worked_s:.1f} s of work done in {stats.seconds:.1f} s")
    return np.stack(images)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--images", type=int, default=512, help="how many to make of the two photographs")
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--sheet", default="contact_sheet.png", help="where to draw the first 24 images")
    chosen = options.parse_args()

    batches = augmented(load_sample_images().filenames, chosen.images, chosen.workers)
    print(batches.explain(), end="\n\n")
    without = run(batches.serial(), "without workers")
    images = run(batches, f"with {chosen.workers} workers")
    same = (images == without).all(axis=(1, 2, 3)).sum()
    print(f"{same} of {len(images)} images are the same with workers and without")
    contact_sheet(images[:24]).save(chosen.sheet)
    print(f"{chosen.sheet} shows the first {len(images[:24])}")


if __name__ == "__main__":
    main()

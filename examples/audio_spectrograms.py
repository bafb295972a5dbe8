"""Learn to tell sounds apart by their spectrograms, which worker processes make on the fly.

Sounds of six kinds are made here, written as WAV and as TFRecord, and read back from both.  In every epoch they are
cropped, made louder or softer and mixed with noise anew, and turned into log-mel spectrograms, from which the network
of ``train_digits.py`` learns.

    python examples/audio_spectrograms.py
    python examples/audio_spectrograms.py --epochs 20 --workers 4 --picture spectrograms.png
"""

import argparse
import os
import tempfile
import wave
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else numpy's own threads take the cores from the workers

import numpy as np
from images_augment import contact_sheet
from train_digits import BATCH, Network

from flazy import Dataset

RATE = 16_000  # values a second
LENGTH, CROP = RATE, RATE * 3 // 4  # values of a sound, and of the part of it that is learnt
WINDOW, HOP, BANDS = 512, 192, 40  # of spectrograms: 32 ms every 12 ms, in 40 bands
FRAMES = 1 + (CROP - WINDOW) // HOP


# The pipeline -------------------------------------------------------------------------------------------------------


def write_sounds(folder, count):
    """Write sounds twice: each into a WAV file, and all of them into one TFRecord file."""
    labels = np.arange(count) % len(KINDS)
    sounds = Dataset(number=range(count), label=labels).random_map(make_sound, seed=1)
    sounds = sounds.epoch(0)  # the same ones in every pass; else each pass has random numbers of its own
    sounds.foreach(lambda sound: write_wav(folder, sound))
    sounds.write.tfrecord(f"{folder}/sounds.tfrecord")


def from_tfrecord(folder):
    sounds = Dataset.read.tfrecord(folder, keys=["audio", "label"])
    return sounds.map(lambda sound: {**sound, "label": sound["label"][0]})  # a TFRecord knows arrays alone


def from_wav(folder):
    return Dataset(sorted(Path(folder).glob("*.wav"))).map(read_wav)


def spectrograms(sounds, epochs, workers):
    return (
        sounds
        .shuffle(seed=2)
        .repeat(epochs)  # before the workers, so that they never wait for an epoch to end
        .random_map(augment, seed=3, workers=workers)
        .select_tuple("spectrogram", "label")
        .batch(BATCH)
    )  # fmt: skip


def augment(sound, rng):
    """Crop a sound, make it louder or softer, and add noise; give its spectrogram."""
    start = rng.integers(LENGTH - CROP + 1)
    audio = sound["audio"][start : start + CROP] * rng.uniform(0.2, 1)
    audio += rng.normal(0, rng.uniform(0, 0.05), CROP)
    return {"spectrogram": log_mel(audio), "label": sound["label"]}


def plain(sound):
    return {"spectrogram": log_mel(sound["audio"][:CROP]), "label": sound["label"]}


def log_mel(audio):
    """Give the loudness of each band in each frame, as a logarithm: float32, frames x bands."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, WINDOW)[::HOP] * np.hanning(WINDOW)
    return np.log10(abs(np.fft.rfft(frames)) ** 2 @ FILTERS + 1e-4).astype(np.float32)


def mel_filters():
    """Give triangles at even distances on the mel scale, 2595 log10(1 + f / 700) (O'Shaughnessy, 1987)."""
    mels = np.linspace(0, 2595 * np.log10(1 + RATE / 2 / 700), BANDS + 2)
    edges = 700 * (10 ** (mels / 2595) - 1)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE)[:, None]
    return np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)).clip(0)


FILTERS = mel_filters()


# The sounds ---------------------------------------------------------------------------------------------------------


def make_sound(sample, rng):
    """Make a sound of random pitch: float32 from -1 to 1, in the steps of 16 bits that a WAV file has."""
    audio = KINDS[sample["label"]](rng.uniform(200, 800), rng)
    steps = (audio / abs(audio).max() * 0.8 * 2**15).round()
    return {**sample, "audio": steps.astype(np.float32) / 2**15}


def sine(pitch, _rng):
    return np.sin(2 * np.pi * pitch / RATE * np.arange(LENGTH))


def square(pitch, rng):
    return np.sign(sine(pitch, rng))


def rising(pitch, _rng, times=4):
    pitches = pitch * np.geomspace(1, times, LENGTH)
    return np.sin(2 * np.pi / RATE * np.cumsum(pitches))


def falling(pitch, rng):
    return rising(4 * pitch, rng, 1 / 4)


def burst(pitch, rng):
    return rng.normal(size=LENGTH) * np.exp(-np.arange(LENGTH) * pitch / 100 / LENGTH)


def plucked(pitch, rng):
    """Let noise go round and round, a little smoother each time, as a string does (Karplus and Strong, 1983)."""
    rounds = [rng.uniform(-1, 1, round(RATE / pitch))]
    while len(rounds) * len(rounds[0]) < LENGTH:
        rounds.append((rounds[-1] + np.roll(rounds[-1], 1)) / 2)
    return np.concatenate(rounds)[:LENGTH]


KINDS = [sine, square, rising, falling, burst, plucked]
NAMES = [kind.__name__ for kind in KINDS]


def write_wav(folder, sound):
    with wave.open(f"{folder}/{sound['number']:05}-{NAMES[sound['label']]}.wav", "wb") as file:
        file.setparams((1, 2, RATE, LENGTH, "NONE", None))
        file.writeframes((sound["audio"] * 2**15).astype("<i2").tobytes())


def read_wav(path):
    with wave.open(str(path)) as file:
        steps = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    label = np.int64(NAMES.index(path.stem.partition("-")[2]))  # batch() would make a float32 of a plain int
    return {"audio": steps.astype(np.float32) / 2**15, "label": label}


# What it shows ------------------------------------------------------------------------------------------------------


def equal(pair):
    return all(np.array_equal(pair[0][key], pair[1][key]) for key in ("audio", "label"))


def train(batches, test):
    network = Network(FRAMES * BANDS, 64, len(KINDS))
    for values, labels in batches.progress("training"):
        network.learn(values, labels)
    values, labels = test
    return (network.outputs(values)[-1].argmax(axis=1) == labels).mean()


def picture(values):
    """Draw spectrograms side by side, low bands at the bottom, loud ones bright."""
    shades = (values.transpose(0, 2, 1)[:, ::-1] - values.min()) / np.ptp(values)
    colours = [(0, 0, 20), (110, 20, 110), (240, 110, 50), (255, 250, 200)]
    images = np.stack([np.interp(shades, np.linspace(0, 1, 4), part) for part in zip(*colours, strict=True)], axis=-1)
    return contact_sheet(images.astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2), columns=len(KINDS))


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--sounds", type=int, default=600, help="how many to make, at least 60")
    options.add_argument("--picture", help="where to draw some of the spectrograms, e.g. spectrograms.png")
    chosen = options.parse_args()

    with tempfile.TemporaryDirectory(prefix="flazy-sounds-") as folder:
        write_sounds(folder, chosen.sounds)
        sounds = from_tfrecord(folder)
        same = Dataset.zip(sounds, from_wav(folder)).filter(equal).count()
        print(f"{same} of {chosen.sounds} sounds are the same from TFRecord and from WAV")

        held_out = chosen.sounds // 5
        batches = spectrograms(sounds.skip(held_out), chosen.epochs, chosen.workers)
        test = sounds.take(held_out).map(plain).select_tuple("spectrogram", "label").collect()
        print(batches.explain(), end="\n\n")
        accuracy = train(batches, test)
        print(f"{accuracy:.1%} of {held_out} sounds that it never heard are told right")
        if chosen.picture:
            picture(test[0][: 4 * len(KINDS)]).save(chosen.picture)
            print(f"{chosen.picture} shows {', '.join(NAMES)}")


if __name__ == "__main__":
    main()

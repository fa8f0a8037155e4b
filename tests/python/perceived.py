"""What the reference packages measure of degraded speech: the values that `tests/suite/perceive.rs` compares with.

    python perceived.py --table                     writes perceived.json of the embedded demo voices
    python perceived.py --check DIR --driftscope BIN [--every 20] [--seconds 12]
                                                    compares `driftscope perceive` with the packages on every n-th recording of a folder

Needs pystoi 0.4.1, pesq 0.0.4, librosa 0.11, pyloudnorm 0.2, torch, auraloss 0.4, scipy and soundfile.

Degradations are formulas, so that Rust makes the same samples to the rounding of f64: what is drawn at random comes from one congruential
generator, and every filter is a recursion of first order.
"""

import argparse
import json
import math
import pathlib
import subprocess
import tempfile
import warnings

import librosa
import numpy as np
import pyloudnorm
import scipy.fft
import soundfile
import torch
from auraloss.freq import MultiResolutionSTFTLoss
from pesq import pesq
from pystoi import stoi
from scipy.signal import lfilter, resample_poly

HERE = pathlib.Path(__file__).parent
SECONDS = 4


def uniform(n):
    """`n` values in [-0.5, 0.5): Numerical Recipes' generator from 1 on."""
    values, state = np.empty(n), 1
    for i in range(n):
        state = (state * 1664525 + 1013904223) % 2**32
        values[i] = state / 2**32 - 0.5
    return values


def noisy(x, snr_db):
    noise = uniform(len(x))
    return x + noise * np.sqrt(np.sum(x**2) / np.sum(noise**2) / 10 ** (snr_db / 10))


def lowpass(x, keep):
    """A one-pole filter twice."""
    once = lfilter([1 - keep], [1, -keep], x)
    return lfilter([1 - keep], [1, -keep], once)


def shifted(x, n):
    return np.concatenate([np.zeros(n), x[: len(x) - n]])


def dropouts(x, rate):
    """The last 40 ms of every 320 ms are missing."""
    return np.where(np.arange(len(x)) * 1000 % (320 * rate) >= 280 * rate, 0.0, x)


def late(x, n):
    """The second half comes `n` samples late."""
    half = len(x) // 2
    return np.concatenate([x[:half], np.zeros(n), x[half : len(x) - n]])


def played(x, speed):
    """Played at another speed, by linear interpolation; the rest is silence."""
    at = np.arange(len(x)) * speed
    whole = np.floor(at).astype(int)
    padded = np.concatenate([x, np.zeros(max(0, whole[-1] + 2 - len(x)))])
    return padded[whole] * (1 - (at - whole)) + padded[whole + 1] * (at - whole)


def degradations(x, rate):
    """Name and samples (float32, as a sound file would hold them) of every degradation of `x` (float64)."""
    cases = {
        "noise 20 dB": noisy(x, 20),
        "noise 10 dB": noisy(x, 10),
        "noise 0 dB": noisy(x, 0),
        "lowpass": lowpass(x, 0.8),
        "clipping": np.clip(x, -0.1 * np.abs(x).max(), 0.1 * np.abs(x).max()),
        "delay 5 ms": shifted(x, rate // 200),
        "gain -12 dB": 0.25 * x,
        "echo": x + 0.6 * shifted(x, rate // 8),
        "dropouts": dropouts(x, rate),
        "half 6 ms late": late(x, rate * 6 // 1000),
        "3 % faster": played(x, 1.03),
    }
    return {name: y.astype(np.float32) for name, y in cases.items()}


def mel(x, rate):
    power = librosa.feature.melspectrogram(
        y=x, sr=rate, n_fft=1024, hop_length=256, window="hann", center=True, pad_mode="reflect", power=2,
        n_mels=80, fmin=0, fmax=rate / 2, htk=True, norm=None,
    )  # fmt: skip
    return np.log(np.maximum(power, 1e-5))


def pitch(x, rate):
    f0, voiced, _ = librosa.pyin(x, fmin=65, fmax=500, sr=rate, frame_length=2 * round(0.032 * rate), hop_length=round(0.01 * rate))
    return f0, voiced


def measured(x, y, rate, pitch_of_x):
    """Every measure of `y` against `x` (float64 of equal length) as the packages give it; None where they give no finite number."""
    difference = mel(x, rate) - mel(y, rate)
    # ln |H| = sum of c_d cos(pi d (m + 1/2) / 80): half the logarithm of power, and 2/80 of a transform that doubles.
    cepstrum = scipy.fft.dct(difference / 2, type=2, axis=0) / 80
    tensor = [torch.tensor(v, dtype=torch.float32)[None, None] for v in (y, x)]
    (f, voiced_x), (g, voiced_y) = pitch_of_x, pitch(y, rate)
    both = voiced_x & voiced_y
    meter = pyloudnorm.Meter(rate)
    a, b = x - x.mean(), y - y.mean()
    target = a * (a @ b) / (a @ a)
    with np.errstate(divide="ignore"):
        values = {
            "stoi": stoi(x, y, rate),
            "estoi": stoi(x, y, rate, extended=True),
            "pesq_wb": pesq(16000, resample_poly(x, 16000, rate), resample_poly(y, 16000, rate), "wb"),
            "pesq_nb": pesq(8000, resample_poly(x, 8000, rate), resample_poly(y, 8000, rate), "nb"),
            "mel_distance": np.abs(difference).mean(),
            "multi_resolution_stft": MultiResolutionSTFTLoss()(*tensor).item(),
            "mcd_db": (10 / np.log(10) * np.sqrt(2 * np.sum(cepstrum[1:25] ** 2, axis=0))).mean(),
            "si_sdr_db": 10 * np.log10((target @ target) / ((b - target) @ (b - target))),
            "f0_error_cents": np.sqrt(np.mean((1200 * np.log2(g[both] / f[both])) ** 2)),
            "voicing_error_percent": 100 * np.mean(voiced_x != voiced_y),
            "loudness_difference_lu": meter.integrated_loudness(y) - meter.integrated_loudness(x),
        }
    return {name: round(float(value), 6) if math.isfinite(value) else None for name, value in values.items()}


def pairs(files, seconds):
    """Name, reference, degraded sound (float64) and rate of every file and degradation, with what the packages measure."""
    for file in files:
        x, rate = soundfile.read(file)
        x = x[: seconds * rate]
        pitch_of_x = pitch(x, rate)
        for name, y in degradations(x, rate).items():
            y = y.astype(np.float64)
            yield file.stem, name, x, y, rate, measured(x, y, rate, pitch_of_x)


def table():
    voices = sorted((HERE / "../../assets/demo/voices").glob("*/*-01.flac"))[::4]
    rows = [{"voice": stem, "degradation": name} | values for stem, name, _, _, _, values in pairs(voices, SECONDS)]
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / "perceived.json").write_text(f"[\n{lines}\n]\n")


def check(folder, driftscope, every, seconds):
    """Prints n and the largest deviation of every measure."""
    deviations, withheld = {}, {}
    with tempfile.TemporaryDirectory() as temporary:
        wav = [pathlib.Path(temporary) / name for name in ("reference.wav", "degraded.wav")]
        for stem, name, x, y, rate, values in pairs(sorted(folder.glob("**/*.flac"))[::every], seconds):
            for path, samples in zip(wav, (x, y)):
                soundfile.write(path, samples, rate, subtype="FLOAT")
            command = [driftscope, "perceive", "--reference", wav[0], "--degraded", wav[1], "--json", "-", "--quiet"]
            ours = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["measures"]
            for measure, wanted in values.items():
                found = ours[measure]["value"]
                if found is None and "compares sounds at one delay" in ours[measure].get("reason", ""):
                    withheld.setdefault(measure, []).append(name)
                elif (found is None) != (wanted is None):
                    print(f"{stem} {name}: {measure} is {found}, not {wanted}")
                elif found is not None:
                    deviations.setdefault(measure, []).append((abs(found - wanted), f"{stem} {name}"))
    for measure, names in withheld.items():
        print(f"{measure}: no number where the delay varies, n {len(names)}: {', '.join(sorted(set(names)))}")
    for measure, found in deviations.items():
        print(f"{measure}: n {len(found)}, largest deviation {max(found)[0]:.2g} ({max(found)[1]})")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser()
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--check", type=pathlib.Path)
    parser.add_argument("--driftscope", default="driftscope")
    parser.add_argument("--every", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=12)
    options = parser.parse_args()
    if options.table:
        table()
    if options.check:
        check(options.check, options.driftscope, options.every, options.seconds)

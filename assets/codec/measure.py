#!/usr/bin/env python3
"""STOI and PESQ-WB of decoded speech against its original: n, mean, SD and worst, one row per folder.

    assets/codec/measure.py FOLDER...

A folder holds pairs NAME.ref.wav and NAME.deg.wav at 16 kHz. "STOI" is pystoi on the files as they are. pystoi leaves out pauses,
40 dB below the loudest frame, before it looks at bands from 150 Hz up; an offset or rumble of the recording makes it count pauses as
speech. "STOI > 50 Hz" has both sounds high-passed first, so that only what is heard decides what a pause is. The Python packages pystoi and pesq (which needs gcc) are
installed into a virtual environment under the user's cache folder on first use; nothing else is touched.
"""
import os
import pathlib
import subprocess
import sys
import venv

PACKAGES = ["numpy", "scipy", "soundfile", "pystoi", "pesq"]


def in_own_environment():
    """Restarts this script in its virtual environment, making that first where it is missing."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "driftscope" / "measure"
    python = cache / "bin" / "python"
    if pathlib.Path(sys.prefix) == cache:
        return
    if not (cache / "ready").exists():
        print(f"installing {', '.join(PACKAGES)} into {cache}", file=sys.stderr)
        venv.create(cache, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        (cache / "ready").touch()
    os.execv(python, [python, __file__, *sys.argv[1:]])


def scores(folder):
    """(name, STOI, STOI above 50 Hz, PESQ-WB) of every pair in the folder."""
    import soundfile
    from pesq import pesq
    from pystoi import stoi
    from scipy.signal import butter, sosfiltfilt

    high_pass = butter(4, 50, "highpass", fs=16000, output="sos")
    rows = []
    for reference in sorted(pathlib.Path(folder).glob("*.ref.wav")):
        name = reference.name.removesuffix(".ref.wav")
        x, rate = soundfile.read(reference)
        y, _ = soundfile.read(reference.with_name(f"{name}.deg.wav"))
        assert rate == 16000, f"{reference}: {rate} Hz, not 16000"
        n = min(len(x), len(y))
        x, y = x[:n], y[:n]
        heard = stoi(sosfiltfilt(high_pass, x), sosfiltfilt(high_pass, y), rate)
        rows.append((name, stoi(x, y, rate), heard, pesq(rate, x, y, "wb")))
    return rows


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    in_own_environment()
    import numpy

    print("| system | n | STOI | worst | STOI > 50 Hz | worst | PESQ-WB | worst |\n|---|---|---|---|---|---|---|---|")
    for folder in sys.argv[1:]:
        rows = scores(folder)
        if not rows:
            sys.exit(f"{folder}: no pairs NAME.ref.wav, NAME.deg.wav")
        stoi, heard, pesq = (numpy.array([row[i] for row in rows]) for i in (1, 2, 3))
        cells = (f"{v.mean():.{d}f} ± {v.std(ddof=1):.{d}f} | {v.min():.{d}f}" for v, d in ((stoi, 3), (heard, 3), (pesq, 2)))
        print(f"| {pathlib.Path(folder).name} | {len(rows)} | {' | '.join(cells)} |")


main()

"""Writes the same half second of a 440 Hz tone in every format the program reads: pip install numpy soundfile; python make.py"""

import pathlib

import numpy
import soundfile

here = pathlib.Path(__file__).parent
tone = 0.5 * numpy.sin(2 * numpy.pi * 440 * numpy.arange(8000) / 16000)
stereo = numpy.stack([tone, 0.5 * tone], axis=1)
soundfile.write(here / "tone.flac", stereo, 16000, subtype="PCM_16")
soundfile.write(here / "tone.ogg", tone, 16000, format="OGG", subtype="VORBIS")
soundfile.write(here / "tone.mp3", tone, 16000, format="MP3")

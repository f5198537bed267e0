"""Recorded tracks, read from the formats that people have them in.

`load` reads one file into `Track`s, one for each rider in it, in file order. What cannot be read is
returned beside them with its line number; it never stops the rest. Nothing is judged here: a place off
the Earth is sent as it stands, for the server to set aside.
"""

from majung.simulate.tracks.files import FORMATS, load
from majung.simulate.tracks.model import Options, Recording, Track, Unreadable

__all__ = ["FORMATS", "Options", "Recording", "Track", "Unreadable", "load"]

"""Majung: a real-time tracking server. Where is it now, and when will it be here?"""

__version__ = "0.1.0"

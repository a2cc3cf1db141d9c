"""Nextword: a decoder-only transformer to teach, see through, talk to and put to work."""

__version__ = "0.1.0"

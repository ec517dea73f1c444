"""Frontdoor: a TCP reverse proxy that holds the public port while the app behind it changes."""

__version__ = "0.1.0"

"""Entropy coding: symbols and bits; nothing here knows of pixels."""

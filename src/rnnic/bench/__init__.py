"""Benchmarks against other codecs; they need the extra ``rnnic[bench]``."""

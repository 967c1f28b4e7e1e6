"""Searching a gallery: FAISS indexes in memory and on disk. Needs no torch."""

"""Indexes of a gallery on disk: FAISS search for downstream users."""

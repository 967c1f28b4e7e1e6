"""Trained networks over many images, every image read once: what features, predictions and counts are made from."""

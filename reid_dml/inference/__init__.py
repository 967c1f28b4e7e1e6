"""Trained networks over many images: the one loop that features, predictions and accuracies come from."""

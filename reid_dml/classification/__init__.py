"""Image classification: predictions, accuracy, calibration and entropy of the posterior."""

"""Image classification: accuracy, calibration and entropy of the posterior, and their table."""

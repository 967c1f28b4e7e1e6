"""Training: schedules, optimisers, checkpoints, the run folder and the loop."""

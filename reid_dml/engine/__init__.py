"""Training: schedules, optimisers, checkpoints, the recorded step and the loop."""

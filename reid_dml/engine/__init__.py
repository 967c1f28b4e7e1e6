"""Training: the step (eager or as a CUDA graph), the loop, optimisers, schedules and checkpoints; reads no config."""

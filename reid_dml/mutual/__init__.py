"""Deep mutual learning: the losses, the objective around them, the cohort and its update rules."""

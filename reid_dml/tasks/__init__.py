"""What a data set is for: a cohort's evaluation on it from images to metrics, one file a task."""

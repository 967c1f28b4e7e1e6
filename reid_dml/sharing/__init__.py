"""Trained networks to hand on: model folders and their cards."""

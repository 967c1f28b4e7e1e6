"""From trained networks to one file that other runtimes run, with a proof that it gives the same features."""

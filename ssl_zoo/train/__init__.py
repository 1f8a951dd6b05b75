"""Training: the loop, the optimiser, evaluation, checkpoints and logs."""

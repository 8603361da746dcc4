"""Everything with an optimiser: data generation, training loops and recipes."""

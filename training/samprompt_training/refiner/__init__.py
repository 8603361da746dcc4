"""The prior refiner: pairs of visits with a registration that errs, and how the network learns to put it right."""

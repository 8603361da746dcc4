"""Images with masks for training: layouts of known datasets, splits by patient, slices, augmentation, order."""

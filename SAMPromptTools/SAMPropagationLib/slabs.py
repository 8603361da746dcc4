"""A mask in parts, so that the windows stay alive while a large one is looked at."""

STEP_VOXELS = 1_000_000  # looked at in one step: about 3 ms


def slabs(shape) -> list[slice]:
    """Parts of a (k, j, i) array along k, of about a million voxels each and at least one slice."""
    thickness = max(1, STEP_VOXELS // max(1, int(shape[1]) * int(shape[2])))
    return [slice(k, min(k + thickness, int(shape[0]))) for k in range(0, int(shape[0]), thickness)]

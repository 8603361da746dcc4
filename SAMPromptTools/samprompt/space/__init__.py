"""Where voxels are: grids, volumes, structures and visits."""

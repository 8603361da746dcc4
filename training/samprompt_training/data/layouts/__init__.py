"""One file per layout; each function takes the dataset's folder and gives its cases."""

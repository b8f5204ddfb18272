"""Storage: the catalogue, the vectors, the blobs, and search next to the data."""

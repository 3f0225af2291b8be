"""What lies on disk: atomic files, content-addressed blobs, the journal of runs and models."""

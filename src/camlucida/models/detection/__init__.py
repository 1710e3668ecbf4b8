"""Object detectors as models: candidates before non-maximum suppression, and targets that are boxes."""

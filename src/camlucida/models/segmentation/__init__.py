"""Segmentation networks: the regions of an image as targets."""

"""Inspection of layers: activations, top images of channels, and concepts."""

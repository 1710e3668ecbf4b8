"""Building blocks that several methods share: perturbations, masks, infill, superpixels, coalitions, channel reduction."""

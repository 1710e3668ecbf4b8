"""Building blocks of several methods: perturbations, masks, infill, superpixels, coalitions, channel reduction."""

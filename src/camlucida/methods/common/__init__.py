"""What several methods are made of: noisy variants, masks, fills, superpixels, coalitions, joined colours."""

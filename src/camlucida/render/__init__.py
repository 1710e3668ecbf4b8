"""Rendering of arrays as images: colour maps, overlays and pages. It depends on no network and no tensor."""

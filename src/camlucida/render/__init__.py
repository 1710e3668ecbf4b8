"""Arrays in, pictures out: colours, overlays, pages. Knows no network and no tensor."""

"""What can be asked, one file a tab (and two that all tabs share: start, pictures)."""

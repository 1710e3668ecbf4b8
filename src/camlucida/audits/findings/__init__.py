"""What is derived from the rows and maps of an audit: slices, differences, label errors, duplicates."""

"""Data sets that everybody knows, in the folders they are published in: a file a data set."""

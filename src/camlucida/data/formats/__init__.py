"""Readers of public datasets in their published folder layouts, one module per dataset."""

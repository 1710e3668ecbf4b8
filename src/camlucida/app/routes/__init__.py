"""The endpoints of the API, one file or folder per tab, and `bootstrap` and `images`, which all tabs share."""

"""`python -m camlucida` is the command `camlucida`."""

from camlucida.cli import main

if __name__ == "__main__":
    main()

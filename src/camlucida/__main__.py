"""Run the command line: `python -m camlucida` is the same as `camlucida`."""

from camlucida.cli import main

if __name__ == "__main__":
    main()

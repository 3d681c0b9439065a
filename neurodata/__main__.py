"""`python -m neurodata` is the command line."""

from neurodata.cli import main

if __name__ == "__main__":
    main()

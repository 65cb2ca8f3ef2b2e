"""`python -m migmond.cli`."""

from migmond.cli.main import main

if __name__ == "__main__":
    main()

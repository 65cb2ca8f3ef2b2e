"""`python -m migmond.daemon`."""

from migmond.daemon.main import main

if __name__ == "__main__":
    main()

"""`python -m migmond.mover SOCKET_FD SLOT_FD`: started by the daemon, never by people."""

from migmond.mover.main import main

if __name__ == "__main__":
    main()

"""`python -m migmond.mover SOCKET_FD SLOT_FD`: started by the daemon, never by people."""

import faulthandler

if __name__ == "__main__":
    faulthandler.enable()  # a crash of machine code says in the daemon's log where it was
    from migmond.mover.main import main

    main()

"""`python -m migmond.daemon`."""

import faulthandler

if __name__ == "__main__":
    faulthandler.enable()  # before anything else is loaded: most of what may crash is foreign machine code
    from migmond.daemon.main import main

    main()

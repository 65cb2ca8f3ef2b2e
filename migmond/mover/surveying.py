"""The process of a mover that looks a plan over: what that takes is loaded before it becomes the asking user, who may
not be able to read it, and other movers start without."""

from __future__ import annotations

from migmond.mover.main import main
from migmond.mover.survey import survey

if __name__ == "__main__":
    main(survey)

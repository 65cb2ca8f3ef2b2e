"""Reports as HTML files to keep or send: what `migmon report --html` writes, for whoever is in the dashboard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.responses import Response

from migmond.cli.render.report_html import period_page, report_page
from migmond.domain import api
from migmond.domain.decoding import converted
from migmond.domain.report import PeriodReport, ReportSinceParams, ReportView
from migmond_web.routes import Route


class ReportFile(msgspec.Struct, frozen=True):
    """One endpoint that answers with a file.

    Attributes:
        endpoint: the call whose result is shown.
        page: makes the file's text of the result.
        name: of the file, for the browser.
    """

    endpoint: Route
    page: Callable[[Any], str]
    name: str


REPORT_FILES = (
    ReportFile(
        Route("GET", "/reports/html", "report.since", ReportSinceParams, PeriodReport, "What was moved, as a file."),
        period_page,
        "migmond-report.html",
    ),
    ReportFile(
        Route("GET", "/{id}/report/html", "execution.report", api.ExecutionParams, ReportView, "How one went, a file."),
        report_page,
        "migmond-migration.html",
    ),
)


def as_file(kind: ReportFile, found: Any) -> Response:
    """Return the file. It is kept, never shown in the dashboard's own origin: names in it are other people's text."""
    text = kind.page(converted(found, kind.endpoint.result))
    headers = {"Content-Disposition": f'attachment; filename="{kind.name}"', "Cache-Control": "no-store"}
    return Response(text.encode("utf-8", "backslashreplace"), media_type="text/html; charset=utf-8", headers=headers)

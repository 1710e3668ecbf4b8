"""GET /audit: the report of an audit, a page of its own."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from camlucida.app.routes.dependencies import AppDep
from camlucida.report.audit_page import content_policy

router = APIRouter(include_in_schema=False)


@router.api_route("/audit", methods=["GET", "HEAD"])
def first_audit(page: AppDep) -> FileResponse:
    """Return the report of the first audit of the command line."""
    return audit(page, 0)


@router.api_route("/audit/{number}", methods=["GET", "HEAD"])
def audit(page: AppDep, number: int) -> FileResponse:
    """Return the report of an audit.

    Its policy allows the report's own script only, and no request at all, in place of the policy of the app's pages.
    """
    policy = f"{content_policy()}; frame-ancestors 'none'"
    headers = {"content-security-policy": policy, "cache-control": "no-cache"}
    return FileResponse(page.audits.file(number), media_type="text/html; charset=utf-8", headers=headers)

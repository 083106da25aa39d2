"""The pages at `/`: for people who want to look.

A page is a frame without data: its scripts ask the same routes as any other caller, and put texts in as text. What a
page may load and where it may send is in `POLICY`; styles and scripts are files of ours beside it.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reckon.serving.http.errors import Refused

router = APIRouter(include_in_schema=False)
FOLDER = Path(__file__).parents[1] / "page"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "form-action 'none'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ASK_AGAIN = "no-cache"  # a copy is used only after the service has said that it is still the same
PAGES = {  # address -> (template and script, name in the navigation)
    "/": ("recommend", "Recommend"),
    "/ui/items": ("items", "Items"),
    "/ui/events": ("events", "Events"),
    "/ui/health": ("health", "Health"),
    "/docs": ("api", "API"),
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A style, script or picture of the pages."""

    content: bytes
    type: str
    etag: str


@router.get("/")
@router.get("/ui/items")
@router.get("/ui/events")
@router.get("/ui/health")
@router.get("/docs")
async def page(request: Request) -> HTMLResponse:
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": ASK_AGAIN}
    return HTMLResponse(_rendered(request.url.path), headers=headers)


@router.get("/static/{name}")
async def static(name: str, request: Request) -> Response:
    file = _files().get(name)
    if file is None:
        raise Refused(404, "there is no such file")
    headers = {"ETag": file.etag, "Cache-Control": ASK_AGAIN}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.type, headers=headers)


@cache
def _rendered(path: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template, title = PAGES[path]
    links = [(address, name) for address, (_, name) in PAGES.items()]
    page = environment.get_template(f"{template}.html.jinja")
    return page.render(path=path, title=title, template=template, links=links)


@cache
def _files() -> dict[str, StaticFile]:
    """All files by name. A name that is not among them is never looked for on the disk."""
    found = {}
    for path in sorted((FOLDER / "static").iterdir()):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        found[path.name] = StaticFile(content, TYPES[path.suffix], f'"{digest}"')
    return found

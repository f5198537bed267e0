"""The pages: the operators' map, and those of delivery; built assets, and the settings that a map starts with.

One document serves them all: its script chooses the page by the path.
"""

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from litestar import Request, Response, get
from litestar.params import PathParameter

import majung
from majung.services import Services
from majung.settings import MapSettings
from majung.webui import DIST

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_ASSET = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,120}")
_HASHED = "public, max-age=31536000, immutable"  # a changed asset has another name
_TEMPLATE = re.compile(r"\{[zxy]\}")

_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Majung: the pages are not built</title>
<h1>The pages are not built</h1>
<p>The server runs; its API is at <code>/v1</code>. To see the map, run <code>make web</code> in the
project and load this page again.</p>
<p lang="ko">서버는 실행 중이지만 화면이 빌드되지 않았습니다. 프로젝트에서 <code>make web</code>을 실행한 뒤
이 페이지를 다시 여세요.</p>
</html>
"""


Name = Annotated[str, PathParameter(description="A hashed name under `assets/`.")]
Token = Annotated[str, PathParameter(description="The token of the link.")]
App = Annotated[str, PathParameter(description="Which page.")]


class DemoPlace(msgspec.Struct, frozen=True):
    """Where somebody who tries the demo is, wherever they are in truth."""

    latitude: float
    longitude: float


class MapConfig(msgspec.Struct, frozen=True):
    """What the map starts with: where, how near (zoom 0-22), and what lies under the riders.

    `demo_place`: the rider's page offers a simulated position from here on; null: it does not.
    """

    tile_url: str
    tile_attribution: str
    latitude: float
    longitude: float
    zoom: float
    version: str
    demo_place: DemoPlace | None = None


class Manifest(msgspec.Struct, frozen=True):
    """A web app manifest (https://www.w3.org/TR/appmanifest/): what a phone installs."""

    id: str
    start_url: str
    scope: str
    name: str
    short_name: str
    icons: list[dict[str, str]]
    display: str = "standalone"
    background_color: str = "#ffffff"
    theme_color: str = "#3451d1"


_APPS = {
    "order": "마중 주문",
    "ride": "마중 라이더",
    "kitchen": "마중 매장",
    "admin": "마중 주문 관리",
    "friends": "마중 친구",
}
_LOCATING = ("/order", "/ride", "/friends")


@get(["/", *(f"/{app}" for app in _APPS)], include_in_schema=False)
async def get_page(request: Request[Any, Any, Any], services: Services) -> Response[bytes]:
    """The page, or how to build it (503)."""
    headers = _security_headers(services.settings.map, locates=request.url.path in _LOCATING)
    return await _page(request, headers)


@get("/track/{token:str}", include_in_schema=False)
async def get_shared_page(
    token: Token, request: Request[Any, Any, Any], services: Services
) -> Response[bytes]:
    """The page of a share link. Its address is a secret: nobody is told where a reader came from, or finds it."""
    headers = _security_headers(services.settings.map)
    headers |= {"Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
    return await _page(request, headers)


async def _page(request: Request[Any, Any, Any], headers: dict[str, str]) -> Response[bytes]:
    found = await asyncio.to_thread(_read, DIST / "index.html", _takes_gzip(request))
    if found is None:
        return Response(_NOT_BUILT.encode(), status_code=503, media_type=_TYPES[".html"], headers=headers)
    content, encoding = found
    headers |= encoding | {
        "Cache-Control": "no-cache",
        "ETag": f'"{hashlib.sha256(content).hexdigest()[:20]}"',
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(b"", status_code=304, headers=headers)
    return Response(content, media_type=_TYPES[".html"], headers=headers)


@get("/app/{app:str}", include_in_schema=False)
async def get_manifest(app: App) -> Response[Manifest]:
    """What the page is when it is put on a phone's screen."""
    if app not in _APPS:
        raise LookupError("no such app")
    manifest = Manifest(f"/{app}", f"/{app}", f"/{app}", _APPS[app], _APPS[app], _icons(app))
    headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(manifest, media_type="application/manifest+json", headers=headers)


@get("/assets/{name:str}", include_in_schema=False)
async def get_asset(name: Name, request: Request[Any, Any, Any]) -> Response[bytes]:
    """A script, style or outline by its hashed name; may be cached for ever."""
    suffix = Path(name).suffix
    if not _ASSET.fullmatch(name) or suffix not in _TYPES:
        raise LookupError("no such asset")
    found = await asyncio.to_thread(_read, DIST / "assets" / name, _takes_gzip(request))
    if found is None:
        raise LookupError("no such asset")
    content, encoding = found
    headers = encoding | {"Cache-Control": _HASHED, "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type=_TYPES[suffix], headers=headers)


@get(["/sw.js", "/friends-sw.js"], include_in_schema=False)
async def get_service_worker(request: Request[Any, Any, Any]) -> Response[bytes]:
    """The service workers, at the root: each may work for every page below it.

    That of the delivery pages shows notifications; that of friends fetches and keeps the files of its page.
    """
    found = await asyncio.to_thread(_read, DIST / request.url.path[1:], False)
    if found is None:
        raise LookupError("the pages are not built")
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": "default-src 'none'; connect-src 'self'",
        "Service-Worker-Allowed": "/",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(found[0], media_type=_TYPES[".js"], headers=headers)


@get("/v1/map/config.json", summary="What the map starts with", tags=["map"], security=[])
async def get_map_config(services: Services) -> Response[MapConfig]:
    """Needs no token: nothing in it is secret (keys in a tile URL are public by nature)."""
    settings = services.settings.map
    config = MapConfig(
        tile_url=settings.tile_url,
        tile_attribution=settings.tile_attribution,
        latitude=settings.latitude,
        longitude=settings.longitude,
        zoom=settings.zoom,
        version=majung.__version__,
        demo_place=_demo_place(services.settings.delivery.demo_place),
    )
    return Response(config, headers={"Cache-Control": "no-cache"})


HANDLERS = [get_page, get_shared_page, get_manifest, get_asset, get_service_worker, get_map_config]


def _icons(app: str) -> list[dict[str, str]]:
    """Those of friends fill their square, so that a phone may cut any shape out of it."""
    own = app == "friends"
    name, purpose = ("friends-icon", "any maskable") if own else ("app-icon", "any")
    icons = [{"src": f"/assets/{name}.svg", "sizes": "any", "type": "image/svg+xml", "purpose": purpose}]
    for size in ("192", "512") if own else ():
        file = f"/assets/friends-{size}.png"
        icons.append({"src": file, "sizes": f"{size}x{size}", "type": "image/png", "purpose": purpose})
    return icons


def _demo_place(text: str) -> DemoPlace | None:
    latitude, comma, longitude = text.partition(",")
    return DemoPlace(float(latitude), float(longitude)) if comma else None


def _takes_gzip(request: Request[Any, Any, Any]) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


def _read(file: Path, gzip: bool) -> tuple[bytes, dict[str, str]] | None:
    """The file, packed when there is a packed one and the client takes it. None: there is none."""
    vary = {"Vary": "Accept-Encoding"}
    try:
        if gzip and (packed := file.with_name(file.name + ".gz")).is_file():
            return packed.read_bytes(), vary | {"Content-Encoding": "gzip"}
        return file.read_bytes(), vary
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None


def _security_headers(settings: MapSettings, locates: bool = False) -> dict[str, str]:
    """`locates`: the page may ask where its reader is."""
    tiles = " ".join(["", *tile_origins(settings.tile_url)])
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; worker-src 'self' blob:; "
        f"img-src 'self' data: blob:{tiles}; connect-src 'self'{tiles}; "
        "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": f"geolocation=({'self' if locates else ''}), camera=(), microphone=()",
        "Referrer-Policy": "strict-origin-when-cross-origin",
        "X-Content-Type-Options": "nosniff",
    }


def tile_origins(tile_url: str) -> list[str]:
    """From where the page may load map data. A style names hosts of its own, so it opens all of HTTPS."""
    if not tile_url:
        return []
    parts = urlsplit(_TEMPLATE.sub("0", tile_url))
    if any(c in "\"';, " for c in parts.netloc):
        return []
    own = [f"{parts.scheme}://{parts.netloc}"] if parts.scheme in ("http", "https") and parts.netloc else []
    return own if _TEMPLATE.search(tile_url) else [*own, "https:"]

"""The page: three tabs, and what a browser is told about it."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from syncdiff.app.browse import NO_RESULTS, BrowseTab
from syncdiff.app.dub import DubTab
from syncdiff.app.results import Results
from syncdiff.app.score import ScoreTab
from syncdiff.app.studio import Studio
from syncdiff.app.visits import Visits
from syncdiff.dubbing.lip_sync import LipSync

MAX_WAITING = 20  # jobs in the queue
SWEEP_S, OLD_S = 600, 24 * 3600  # of what no visit keeps
HOSTS = ("127.0.0.1", "localhost")
# Gradio's own page needs inline scripts, workers, and eval.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; form-action 'self'"
)
WARNING = (
    "**This makes people appear to say what they did not say.** Use it only with the consent of the person shown, and "
    "say that the result is synthetic."
)


def page_of(model: LipSync, syncnet: Path | None, visits: Visits, results: Results | None) -> gr.Blocks:
    """Return the page, not served yet."""
    studio = Studio(model, syncnet, visits)

    def leave(request: gr.Request) -> None:
        visits.leave(str(request.session_hash))

    page = gr.Blocks(title="SyncDiff", analytics_enabled=False, delete_cache=(SWEEP_S, OLD_S))
    with page:
        gr.Markdown(f"# SyncDiff\n\n{WARNING}")
        with gr.Tab("Dub"):
            DubTab(studio)
        with gr.Tab("Score"):
            ScoreTab(studio)
        with gr.Tab("Browse"):
            BrowseTab(results) if results else gr.Markdown(NO_RESULTS)
        page.unload(leave)
    page.queue(max_size=MAX_WAITING, api_open=False)
    return page


def launch(page: gr.Blocks, host: str, port: int, max_mb: int, uploads: Path) -> None:
    """Serve the page in a thread of its own; `uploads` is the folder that Gradio puts uploads into."""
    templates = files("syncdiff.app") / "templates"
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        ssr_mode=False,
        pwa=False,
        run_history=False,
        enable_monitoring=False,
        footer_links=[],
        max_file_size=max_mb * 10**6,
        theme=gr.themes.Base(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace")),
        css=(templates / "page.css").read_text(),
        head=f"<script>{(templates / 'page.js').read_text()}</script>",
        app_kwargs={"middleware": [Middleware(Guard, uploads=uploads)]},
    )


class Guard:
    """Answers only who has asked this machine by name, fetches nothing from elsewhere, and tells browsers the same.

    An upload that was too large or was broken off lies in `uploads` itself, not in a folder there: it is removed.
    """

    def __init__(self, app: ASGIApp, uploads: Path) -> None:
        self._app, self._uploads = app, uploads
        self._n_running = 0  # uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked = dict(scope["headers"]).get(b"host", b"").decode("latin-1").rsplit(":", 1)[0]
        if asked not in HOSTS or "=http" in scope["path"]:
            await PlainTextResponse("not here", status_code=403)(scope, receive, send)
            return

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers: Any = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        if not scope["path"].endswith("/upload"):
            await self._app(scope, receive, tell)
            return
        self._n_running += 1
        try:
            await self._app(scope, receive, tell)
        finally:
            self._n_running -= 1
            if not self._n_running:
                for path in self._uploads.iterdir():
                    if path.is_file():
                        path.unlink()

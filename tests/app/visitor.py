"""Somebody who talks to the page's server as a browser does, but can say things that a browser would not."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable
from html import unescape
from typing import Any

import httpx

BOUNDARY = "cut-here"
WAIT_S = 60


class Visitor:
    """One visit of the page, by HTTP alone."""

    def __init__(self, address: str) -> None:
        self.visit = secrets.token_hex(8)
        self.client = httpx.Client(base_url=f"{address}gradio_api", timeout=WAIT_S, trust_env=False)
        config = self.client.get(f"{address}config").json()
        self._ids = {
            part["props"]["elem_id"]: part["id"] for part in config["components"] if part["props"].get("elem_id")
        }
        self._events = config["dependencies"]

    def upload(self, name: str, data: bytes) -> httpx.Response:
        """Send a file under a name, byte for byte."""
        quoted = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="{quoted}"\r\n\r\n'
        body = head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.client.post("/upload", content=body, headers=kind)

    def give(self, slot: str, name: str, data: bytes) -> str:
        """Upload a file as the video or the sound; return what the page says of it."""
        answer = self.upload(name, data)
        assert answer.status_code == 200, answer.text
        return self.say(slot, answer.json()[0])

    def say(self, slot: str, path: str) -> str:
        """Say that a file has been uploaded; return what the page says of it."""
        file = {"path": path, "orig_name": "a", "meta": {"_type": "gradio.FileData"}}
        return words(self.tell(slot, "change", [file])[1])

    def tell(self, part: str, event: str, data: list[Any]) -> list[Any]:
        """Let an event happen at a part of the page, and all that follows; return what the last of it gives."""
        found = next(at for at, e in enumerate(self._events) if [self._ids[part], event] in e["targets"])
        made: list[Any] = self.call(found, data)
        for follower in [e for e in self._events if e["trigger_after"] == found]:
            made = self.call(follower["id"], data)
        return made

    def call(self, event: int, data: list[Any]) -> list[Any]:
        """Queue one event, and wait for what it gives."""
        body = {"fn_index": event, "data": data, "session_hash": self.visit, "event_data": None, "trigger_id": None}
        joined = self.client.post("/queue/join", json=body)
        assert joined.status_code == 200, joined.text
        with self.client.stream("GET", "/queue/data", params={"session_hash": self.visit}) as answer:
            for line in answer.iter_lines():
                said = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
                if said.get("msg") == "process_completed" and said["event_id"] == joined.json()["event_id"]:
                    assert said["success"], said
                    return list(said["output"]["data"])
        raise AssertionError("the server hung up")

    def leave(self) -> None:
        """Close the page: open the connection by which its server knows that it is open, and cut it."""
        with self.client.stream("GET", f"/heartbeat/{self.visit}") as alive:
            next(alive.iter_lines())

    @staticmethod
    def wait_until(happens: Callable[[], bool]) -> None:
        """Wait for what the server does by and by."""
        end = time.monotonic() + WAIT_S
        while not happens():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.1)


def words(html: Any) -> str:
    """Return the text of a line of HTML."""
    return unescape(re.sub(r"<[^>]*>", "", html if isinstance(html, str) else "")).strip()

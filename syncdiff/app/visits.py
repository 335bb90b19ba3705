"""The files of those who have the page open: kept while it is open and they are of use, then removed."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from threading import Lock

from syncdiff.errors import UserError


class Visits:
    """Remembers what was uploaded and made in which visit, and whether that is over.

    Every file lies in a folder of its own below `root`. The same file uploaded in two visits lies in one folder, which
    goes with the last of them.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._kept: dict[str, dict[str, Path]] = defaultdict(dict)  # visit -> slot -> file
        self._stopped: set[str] = set()
        self._over: set[str] = set()
        self._lock = Lock()

    def new_folder(self) -> Path:
        """Return an empty folder, to be given to `keep` or `remove`."""
        return Path(tempfile.mkdtemp(dir=self.root))

    def keep(self, visit: str, slot: str, file: Path | None) -> bool:
        """Keep a file in the place of that which was kept in this slot; None: nothing any more.

        Returns:
            Whether the visit is not over; if it is, the file is removed.

        Raises:
            UserError: it lies somewhere else.
        """
        if file is not None and not file.resolve().is_relative_to(self.root):
            raise UserError("this is no file that was uploaded")
        with self._lock:
            if visit in self._over:
                self._remove_unused(file)
                return False
            before = self._kept[visit].pop(slot, None)
            if file is not None:
                self._kept[visit][slot] = file
            self._remove_unused(before)
            return True

    def kept(self, visit: str, slot: str) -> Path | None:
        """Return the file of a slot."""
        with self._lock:
            return self._kept[visit].get(slot)

    def remove(self, file: Path) -> None:
        """Remove the folder of a file that is not kept."""
        with self._lock:
            self._remove_unused(file)

    def stop(self, visit: str) -> None:
        """Let the work of a visit end soon."""
        self._stopped.add(visit)

    def go_on(self, visit: str) -> None:
        """Let work begin."""
        self._stopped.discard(visit)

    def is_stopped(self, visit: str) -> bool:
        """Say whether the work of a visit is to end."""
        return visit in self._stopped or visit in self._over

    def leave(self, visit: str) -> None:
        """Remove what is kept for a visit, and what is made for it later."""
        with self._lock:
            self._over.add(visit)
            for file in self._kept.pop(visit, {}).values():
                self._remove_unused(file)

    def _remove_unused(self, file: Path | None) -> None:
        used = {self._folder(other) for slots in self._kept.values() for other in slots.values()}
        if file is not None and (folder := self._folder(file)) not in used:
            shutil.rmtree(folder, ignore_errors=True)

    def _folder(self, file: Path) -> Path:
        return self.root / file.resolve().relative_to(self.root).parts[0]

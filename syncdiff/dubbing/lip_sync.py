"""A trained model as one object: what a notebook and `syncdiff dub` use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from syncdiff.device import choose_device
from syncdiff.dubbing.dub import dub, find_faces
from syncdiff.dubbing.people import FoundFace, write_sheet
from syncdiff.dubbing.report import Report
from syncdiff.dubbing.wishes import Wishes
from syncdiff.models.pretrained import AUTOENCODER, DENOISER, find_checkpoint, read_pretrained_config
from syncdiff.synthesis.generate import Networks, load_networks


@dataclass(frozen=True)
class LipSync:
    """A trained model that gives videos lips which say another sound.

    folder: that it was loaded from.
    networks: denoiser and autoencoder, and the config that they were trained and sample by.
    """

    folder: Path
    networks: Networks = field(repr=False)

    @classmethod
    def from_pretrained(
        cls, folder: str | PathLike[str], *, device: str | None = None, config: Mapping[str, Any] | None = None
    ) -> LipSync:
        """Load a model's folder: that of a run, or one that `syncdiff export` has made.

        Args:
            folder: with config.json, denoiser.safetensors and autoencoder/.
            device: auto (a GPU where there is one), cpu, cuda or cuda:N; None: what the config says, auto.
            config: changes of the model's config, nested as in config.yaml: {"sample": {"steps": 4}}.

        Raises:
            UserError: a file is missing or damaged, or is of another config; there is no such device; or the speech
                checkpoint that the model's features come from is not here.
        """
        run = find_checkpoint(read_pretrained_config(Path(folder), config))
        paths = Path(folder, DENOISER), Path(folder, AUTOENCODER)
        return cls(Path(folder), load_networks(run, *paths, choose_device(device or run.device)))

    def dub(
        self, video: str | PathLike[str], sound: str | PathLike[str], out: str | PathLike[str], **wishes: Any
    ) -> Report:
        """Write `out`, the pictures of `video` with lips that say `sound`; return what was dubbed and what was not.

        See `dubbing.dub.dub`: what the files may be, and what is raised; `wishes` are the fields of `Wishes`.
        """
        return dub(self.networks, Path(video), Path(sound), Path(out), Wishes(**wishes))

    def find_faces(self, video: str | PathLike[str], syncnet: str | PathLike[str] | None = None) -> list[FoundFace]:
        """Return what to choose each person of a video by: the number that `face` takes, a line, and pictures.

        With `syncnet`, weights, the lines say how well each one's lips fit the video's own sound.
        """
        return find_faces(self.networks, Path(video), Path(syncnet) if syncnet else None)

    def list_faces(
        self, video: str | PathLike[str], sheet: str | PathLike[str], syncnet: str | PathLike[str] | None = None
    ) -> list[str]:
        """Write `sheet`, a picture of what `find_faces` returns, a row for each person; return their lines."""
        found = self.find_faces(video, syncnet)
        write_sheet(Path(sheet), found)
        return [face.line for face in found]

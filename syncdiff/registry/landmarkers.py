"""The landmarkers that `faces.backend` can name; what their classes must do, `faces.landmarks.Landmarker` says."""

from __future__ import annotations

from syncdiff.registry.part import Part

LANDMARKERS = {
    "mediapipe": Part("syncdiff.faces.facemesh:FaceMeshLandmarker"),
    "face_alignment": Part("syncdiff.faces.fan:FanLandmarker", on_gpu=True),
}

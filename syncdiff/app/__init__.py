"""The local page of `syncdiff app`: dub a video, score videos, look through a results folder."""

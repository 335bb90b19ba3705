"""Frames and audio: any file in, one timeline out (25 fps, 16 kHz, time zero = the first frame), and back."""

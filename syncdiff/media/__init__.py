"""Pictures and sound: any file in, one timeline out (25 fps, 16 kHz, time zero = the first picture), and back."""

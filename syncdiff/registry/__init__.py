"""What config keys can name, a line each: speech encoders (`speech.encoder`) and landmarkers (`faces.backend`)."""

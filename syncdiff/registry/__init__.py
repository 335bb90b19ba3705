"""What can be added to, a line each: speech encoders, landmarkers, kinds of corpus, metrics; docs/extending.md."""

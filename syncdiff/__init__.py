"""SyncDiff: speech-to-lip synthesis by latent diffusion, as a reproducible pipeline."""

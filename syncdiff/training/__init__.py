"""Training: one loop, and what is particular to the autoencoder, the SyncNet and the denoiser."""

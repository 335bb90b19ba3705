"""Scores: lip-sync (LSE-C, LSE-D, offset), fidelity (FID, SSIM, PSNR), mouth motion (LMD, correlation)."""

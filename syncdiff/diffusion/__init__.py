"""The diffusion process over latents: schedule, loss, samplers."""

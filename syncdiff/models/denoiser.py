"""The denoiser: a UNet over latents, conditioned on the three visual priors and, by cross-attention, on speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from syncdiff.config import Config
from syncdiff.errors import UserError
from syncdiff.models.bottleneck import PoseBottleneck
from syncdiff.models.speech_encoder import SpeechEncoder
from syncdiff.models.warping import IdentityWarp
from syncdiff.pipeline.files import short_message
from syncdiff.speech.avhubert import sizes_of
from syncdiff.speech.checkpoint import METADATA_KEY, EncoderConfig, sizes_in
from syncdiff.weights.files import read_safetensors, write_safetensors


@dataclass(frozen=True)
class VisualPriors:
    """The paper's three visual priors for a batch of target frames, all in the autoencoder's scaled latents.

    masked: (B, C, h, w) latents of the target frame with the mouth region hidden.
    identity: (B, C, h, w) latents of the identity frame I_rand.
    pose: (B, r, r, 3) in [-1, 1], the reduced temporal pose frame I_{t-1}; zeros where it is dropped.
    previous: (B, C, h, w) latents of the whole frame I_{t-1}; only the ablation `pose_frame: full` reads it.
    """

    masked: Tensor
    identity: Tensor
    pose: Tensor
    previous: Tensor


class Denoiser(nn.Module):
    """UNet2DConditionModel whose input is cat[noisy latents, masked, identity, pose plane] along the channels.

    It paints latents, and predicts flows by which the identity frame is warped and added to them (`models.warping`).
    """

    def __init__(self, config: Config, sizes: EncoderConfig | None = None) -> None:
        """Build it untrained; `sizes` as in `SpeechEncoder`."""
        super().__init__()
        settings = config.denoiser
        latent_channels = config.autoencoder.latent_channels
        self.pose_frame = settings.pose_frame
        self.speech = SpeechEncoder(config.speech, sizes)
        if self.pose_frame == "bottleneck":
            self.bottleneck = PoseBottleneck(config.priors.pose_size, settings.bottleneck_dim, latent_channels)
        patch, n_flows = config.autoencoder.patch_size, settings.n_flows
        self.identity_warp = IdentityWarp(latent_channels, patch, n_flows) if n_flows else None
        self.null_context = nn.Parameter(torch.zeros(self.speech.context_dim))
        self.unet = UNet2DConditionModel(
            in_channels=latent_channels * (3 if self.pose_frame == "none" else 4),
            out_channels=latent_channels + (self.identity_warp.n_flow_channels if self.identity_warp else 0),
            block_out_channels=tuple(settings.channels),
            layers_per_block=settings.layers_per_block,
            # Attention at full resolution costs most and moves nothing further than a pixel: it starts one level down.
            down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * (len(settings.channels) - 1)),
            up_block_types=(*["CrossAttnUpBlock2D"] * (len(settings.channels) - 1), "UpBlock2D"),
            mid_block_type="UNetMidBlock2DCrossAttn",
            cross_attention_dim=self.speech.context_dim,
            attention_head_dim=tuple(max(1, width // settings.head_dim) for width in settings.channels),
            norm_num_groups=16,
        )

    def inner_weights(self) -> list[nn.Parameter]:
        """Return what is trained of matrices and convolutions in the UNet's blocks and the speech encoder.

        Left out are the UNet's first and last layer and its time embedding, the bottleneck and the identity warp.
        """
        blocks = (self.unet.down_blocks, self.unet.mid_block, self.unet.up_blocks, self.speech)
        named = (part for block in blocks for part in block.named_parameters())
        return [
            weight for name, weight in named if name.endswith("weight") and weight.ndim > 1 and weight.requires_grad
        ]

    def context(self, speech: Tensor, valid: Tensor) -> Tensor:
        """Encode stored speech features (B, W, D) with their validity (B, W) to cross-attention context (B, W, E)."""
        return self.speech(speech, valid)

    def uncond_context(self, like: Tensor) -> Tensor:
        """Return the learned context (B, W, E) of no speech, for classifier-free guidance; silence is another."""
        return self.null_context.expand_as(like)

    def condition(self, priors: VisualPriors) -> Tensor:
        """Return what the priors are for all timesteps: (B, P + 3 p^2, h, w).

        The first P = 2 C or 3 C planes go beside the noisy latents, the others are the identity frame to be warped.
        """
        planes = [priors.masked, priors.identity]
        if self.pose_frame == "full":
            planes.append(priors.previous)
        elif self.pose_frame == "bottleneck":
            planes.append(self.bottleneck(priors.pose, side=priors.masked.shape[-1]))
        if self.identity_warp:
            planes.append(self.identity_warp.to_pixels(priors.identity))
        return torch.cat(planes, dim=1)

    def denoise(self, noisy: Tensor, timesteps: Tensor, condition: Tensor, context: Tensor) -> Tensor:
        """Predict z_0 from noisy latents (B, C, h, w) at timesteps (B,), priors and speech encoded."""
        n_channels = noisy.shape[1]
        n_beside = self.unet.config.in_channels - n_channels
        inputs = torch.cat([noisy, condition[:, :n_beside]], dim=1)
        output = self.unet(inputs, timesteps, encoder_hidden_states=context).sample  # (B, C + n_flow_channels, h, w)
        painted, predicted = output[:, :n_channels], output[:, n_channels:]
        if not self.identity_warp:
            return painted
        return painted + self.identity_warp.blend(condition[:, n_beside:], predicted)

    def forward(
        self, noisy: Tensor, timesteps: Tensor, priors: VisualPriors, speech: Tensor, valid: Tensor, with_speech: Tensor
    ) -> Tensor:
        """Encode priors and speech, then `denoise`: the whole path of a training step (and what torchrun wraps).

        `with_speech` (B,) bool is False where the speech is dropped, for classifier-free guidance.
        """
        context = self.context(speech, valid)
        context = torch.where(with_speech[:, None, None], context, self.uncond_context(context))
        return self.denoise(noisy, timesteps, self.condition(priors), context)


def save_denoiser(denoiser: Denoiser, path: Path) -> None:
    """Write the weights as safetensors, atomically; with a pretrained speech encoder's sizes, to be read without it."""
    speech = denoiser.speech
    write_safetensors(path, denoiser.state_dict(), None if speech.from_scratch else sizes_of(speech.encoder))


def load_denoiser(config: Config, path: Path, device: torch.device) -> Denoiser:
    """Build the denoiser of `config` and load its weights; another architecture's file is a `UserError`.

    All weights are in the file: the checkpoint that its speech encoder began with need not be there any more.
    """
    try:
        weights, metadata = read_safetensors(path)
        denoiser = Denoiser(config, sizes_in(metadata) if METADATA_KEY in metadata else None)
        denoiser.load_state_dict(weights)
    except (RuntimeError, UserError, ValueError, TypeError) as error:
        fault = short_message(error)
        raise UserError(
            f"{path}: not a denoiser of this config ({fault}); train it again, or mend denoiser.*"
        ) from None
    return denoiser.to(device).eval()

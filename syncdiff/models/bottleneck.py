"""The learned half of the bottleneck BN, which "compresses the dimension of the pose prior" [P]; its form is [I].

The fixed half, before it, is `priors.reduce_pose`.
"""

import torch.nn.functional as F
from torch import Tensor, nn

COARSE_SIZE = 4  # side of the plane that the kept numbers become, before it is resized to the latents' side


class PoseBottleneck(nn.Module):
    """Keep `dim` numbers of a reduced pose frame, so that head pose passes and the shape of the lips does not.

    A linear map is enough: what passes is bounded by `dim`, and a linear map is easy to inspect. Without bias, a pose
    frame of zeros (the dropped prior of training) gives a plane of zeros.

    Args:
        pose_size: side r of the reduced pose frame, in pixels.
        dim: how many numbers are kept.
        channels: channels of the plane handed to the denoiser.
    """

    def __init__(self, pose_size: int, dim: int, channels: int) -> None:
        super().__init__()
        self.compress = nn.Linear(3 * pose_size**2, dim, bias=False)
        self.expand = nn.Linear(dim, channels * COARSE_SIZE**2, bias=False)
        self.channels = channels

    def forward(self, pose: Tensor, side: int) -> Tensor:
        """Map reduced pose frames (B, r, r, 3) in [-1, 1] to planes (B, channels, side, side)."""
        kept = self.compress(pose.flatten(1))  # (B, dim)
        plane = self.expand(kept).view(-1, self.channels, COARSE_SIZE, COARSE_SIZE)
        return F.interpolate(plane, size=(side, side), mode="bilinear", align_corners=False)

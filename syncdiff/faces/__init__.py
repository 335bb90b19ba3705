"""From frames to one speaker's landmarks and aligned crops, and from a crop back into its frame."""

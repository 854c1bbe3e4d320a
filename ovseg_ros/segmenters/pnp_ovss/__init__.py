"""PnP-OVSS: masks out of the cross-attention of an image-text matcher (seed 001)."""

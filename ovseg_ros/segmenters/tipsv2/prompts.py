"""Prompt templates of TIPSv2's published zero-shot segmentation."""

TEMPLATES = (
    "itap of a {}.",
    "a bad photo of a {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
    "a photo of many {}.",
    "a photo of {}s.",
)
"""Seven of CLIP's ImageNet prompts and two more, which the authors took from TCL (arXiv
2212.00785)."""

"""X-Decoder: queries decode masks and meet text; the segmenter AutoSeg drives (seed 000)."""

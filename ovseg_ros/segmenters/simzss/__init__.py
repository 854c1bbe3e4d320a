"""SimZSS: patches of a frozen vision tower, matched with concept-aligned text (seed 003)."""

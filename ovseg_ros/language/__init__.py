"""English nouns: WordNet, the lexicon, captions to names."""

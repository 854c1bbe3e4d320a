"""Auto-vocabulary discovery: which words belong to an image, asked of nobody."""

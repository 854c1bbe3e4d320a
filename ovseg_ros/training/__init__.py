"""One readable recipe per trainable system, on the robot cell's train split."""

"""Parts that several systems share: towers, text, weights, devices."""

"""Encoded pictures: how large and whether whole, known before anything is decoded."""

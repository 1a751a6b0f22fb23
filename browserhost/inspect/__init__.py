"""Reads a profile directory without changing a byte of it, and says whether it is sound."""

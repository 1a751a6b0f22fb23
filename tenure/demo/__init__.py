"""The demonstration: a site of our own to sign in to, and the main job done on it, step by step."""

"""A profile directory on its way to another host: what belongs to it, its digest, its archive."""

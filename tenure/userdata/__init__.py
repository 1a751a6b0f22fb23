"""A user-data-dir as files: what belongs to it, its digest, its archive, and who has it in use."""

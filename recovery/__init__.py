"""Recovery: what becomes of a profile whose hold ended without a release.

The service stands and answers; incidents are not served yet. Its three parts will each
be a module here: `quarantine` (cut the old worker off, with the host's acknowledgement),
`inspect` (gather the evidence) and `decide` (a pure table, evidence to outcome).
"""

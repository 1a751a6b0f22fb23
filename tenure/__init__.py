"""Safe, fast custody of real browser profiles: what a client of Tenure installs.

Importing this package is cheap on purpose: the CLI and the generated stubs in
`tenure.v1` both pass through here, so nothing heavy is imported at this level.
"""

__version__ = "0.1.0"

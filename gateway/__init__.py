"""The gateway: one address for everything; who calls, which tenant, which host.

One OpenSession's way: `sessions` → `validate` (everything, before anything happens) →
`opening` (worker, hold, browser; undone when it fails) → the profile's host. What needs no
thought at the gateway is passed on as bytes by `forward`.
"""

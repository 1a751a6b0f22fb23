"""Plumbing every service shares: settings, logs, start, ready, drain, calls in and out.

No domain words here. A service is an `async def serve(settings, shutdown)` that holds its
resources with `async with`, the Server innermost; `servicekit.main.run` calls it.
"""

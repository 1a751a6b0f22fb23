"""What the lock service decides, without I/O: no asyncio, no gRPC calls, and time is an argument.

A decision sees a Snapshot and is either an answer or one guarded Txn; see `decision`.
"""

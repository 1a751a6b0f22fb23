"""The host's own listener: WebSockets and small HTTP answers, on the I/O-free core of `websockets`.

The library reads and judges what comes (handshake, frames, masks, the closing); this package moves the bytes,
so that backpressure is the caller's to steer, and a picture of many MiB is sent without being copied.
"""

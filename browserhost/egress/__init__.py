"""Where browsers may connect to, and the forwarder that they all must go through."""

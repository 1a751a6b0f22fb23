"""What a host saw of a session, kept so that it can be read when worker, browser and host are dead."""

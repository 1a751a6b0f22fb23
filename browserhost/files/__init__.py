"""What a session gives to its browser, and what its browser has downloaded."""

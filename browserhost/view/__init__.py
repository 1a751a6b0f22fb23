"""Live view: people see a session's page as it changes, and drive it where the token's holder lets them."""

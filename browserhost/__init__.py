"""One machine's browsers: Chrome, its display and its profile, kept warm and behind a fence."""

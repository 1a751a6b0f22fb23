"""Act: real input on the browser's own display, and what a page shows of it."""

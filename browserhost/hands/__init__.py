"""The program that is the hands on one display: `python -I -S browserhost/hands`."""

"""Copies of closed profiles: taken, verified by unpacking them, kept, and put back by a person's word."""

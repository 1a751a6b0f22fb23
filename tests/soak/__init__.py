"""Profiles opened and closed while what runs them is killed: is every login there, and nothing left over?"""

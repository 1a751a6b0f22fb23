"""A model of the protocol, explored whole within small bounds: what can go wrong, and which rule forbids it.

python -m tests.model                              explore every part with all rules kept
python -m tests.model --list                       the rules, and what goes wrong without each
python -m tests.model --without rule3-consumed     the shortest story of what goes wrong
"""

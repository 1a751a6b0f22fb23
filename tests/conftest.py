"""Fixtures that all tests may use."""

# A module comes after those that it imports: pytest rewrites the assertions of each before its import.
pytest_plugins = [
    "tests.fixtures.chrome",
    "tests.fixtures.rig",
    "tests.fixtures.lair",
    "tests.fixtures.etcd",
    "tests.fixtures.pyppeteer",
    "tests.fixtures.system",
    "tests.fixtures.scene",
]

"""Fixtures that all tests may use."""

pytest_plugins = ["tests.fixtures.chrome", "tests.fixtures.etcd", "tests.fixtures.system"]

"""The command `tenure`."""

import os


def main() -> None:
    """Run the command line and exit."""
    # Looked for when grpc is imported, which tells terminals of every server that goes, with where in its
    # own source it heard of that.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Here, because typer and rich take 0.1 s to import: `import tenure.cli` stays free of them.
    from tenure.cli.app import run

    run()

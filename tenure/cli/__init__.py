"""The command `tenure`."""


def main() -> None:
    """Run the command line and exit."""
    # Here, because typer and rich take 0.1 s to import: `import tenure.cli` stays free of them.
    from tenure.cli.app import run

    run()

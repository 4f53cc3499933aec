"""`python -m keyturn.cli` is `keyturn`."""

from keyturn.cli import main

main(prog_name="keyturn")

"""`python -m dfrd_bench`, the same as the command `dfrd-bench`."""

from dfrd_bench.cli.main import main

main()

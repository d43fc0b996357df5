"""The embedded server: what `make demo` and `make serve` run on a laptop."""

"""The cases, one module per theme; every function with @case is run on its own."""

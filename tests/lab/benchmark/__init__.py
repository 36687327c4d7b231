"""How fast the watcher is beside the original: measurements, the table and the plot."""

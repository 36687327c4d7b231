"""A real Ganeti cluster on one machine, and what is needed to test a watcher on it."""

"""The steps of the method, one file each: every step gives what the workspace holds whole, or computes it."""

"""What lies in files: a bundle's arrays, and what pages work out of them once."""

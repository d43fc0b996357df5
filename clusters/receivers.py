"""What happens when computing ends."""

"""What people fill in: each bad value gets its sentence beside its field."""

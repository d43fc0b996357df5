"""Every write that a person asks for, one file per noun."""

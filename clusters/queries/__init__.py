"""Every read: one file per noun."""

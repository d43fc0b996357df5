"""The finder: which of all predictions satisfy what is asked, how many, and which come first."""

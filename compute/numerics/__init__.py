"""The method as plain functions: arrays in, arrays out; importing this package imports nothing heavy."""

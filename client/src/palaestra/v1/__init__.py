"""Generated from proto/palaestra/v1 by proto/generate.py. Only this line is written by hand."""

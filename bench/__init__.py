"""Measurements against peers and limits. `python -m bench --list` names them."""

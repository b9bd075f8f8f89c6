"""Algorithms of ours that a provider may let visit its data. Each file is one algorithm, known by its own hash."""

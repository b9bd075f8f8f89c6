"""What competing vendors let each other have of what they recorded, on whose terms, and the proof of it."""

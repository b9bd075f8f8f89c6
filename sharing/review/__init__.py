"""The review of pictures: before any leave, their provider looks at a random sample and approves it, or does not."""

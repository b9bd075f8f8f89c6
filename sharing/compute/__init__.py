"""Code visits data: approved algorithms run where the data is, and only what they may say leaves."""

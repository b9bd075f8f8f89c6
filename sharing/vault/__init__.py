"""What lies on the disk for somebody is encrypted with a key of that somebody's, and ends with the key."""

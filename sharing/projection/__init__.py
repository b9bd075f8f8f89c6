"""What a consumer gets: written anew with the granted columns alone."""

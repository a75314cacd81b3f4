"""What this host knows without asking: keys and tokens, filters, plain lists, whom to trust, and what it all means for a file."""

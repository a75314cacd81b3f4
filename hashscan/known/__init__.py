"""What this host knows without asking: keys and tokens, filters, plain lists, whom to trust, what a verdict means."""

"""Mutation testing of what touches a customer's files: see scripts/mutate and docs/decisions/0024."""

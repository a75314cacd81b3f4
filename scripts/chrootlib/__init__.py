"""What scripts/chroots is made of."""

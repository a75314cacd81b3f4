"""``python -m hashscan``."""

from hashscan.cli.main import main

if __name__ == "__main__":
    main()

"""What crosses the network to the central service: wire shapes, the client, and what waits to be sent."""

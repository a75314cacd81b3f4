"""The command line: where people come in. One file a command or command group; ``wiring`` turns settings into live tools."""

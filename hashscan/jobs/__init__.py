"""The verbs. Each job is one sentence over tools that it is handed; what a flag means was settled before, in ``cli.wiring``."""

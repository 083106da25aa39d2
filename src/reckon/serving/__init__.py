"""The HTTP service of a trained run. It needs the extra `serve`, and is imported by the commands that run it."""

"""The HTTP service of a trained run. Needs the extra `serve`; everything heavy is imported where a command starts it."""

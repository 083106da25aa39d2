"""RecOne: RecZero with a cold start on a teacher's traces."""

"""The methods: R2ec, RPORec, RecZero and RecOne, and their registry."""

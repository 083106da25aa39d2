"""The methods: each reads like its paper's algorithm box, built from the rooms below."""

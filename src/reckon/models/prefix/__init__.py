"""How a backbone reads prompts and the replies that follow them: shared, repeated, and which one is right for a model.

Entry point: `choose.choose_prefix`.
"""

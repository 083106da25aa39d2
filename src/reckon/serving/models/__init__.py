"""The runs behind the service: their models, their catalogs, and the thread that computes with them."""

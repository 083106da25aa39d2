"""What every request passes on its way to a route, and every reply on its way back."""

"""What every kind of workers promises, on every kind."""

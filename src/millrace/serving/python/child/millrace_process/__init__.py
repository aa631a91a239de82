"""What runs beside a model's own code; named so that it is in nobody's way."""

"""Programs that people already have: each asks the site the way its own documentation says."""

"""New statements make earlier ones untrue: how that is noticed, what follows, and how it is taken back."""

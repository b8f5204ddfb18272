"""The contract's side of the domain, once for all services: cube <-> message, error <-> status, the method table."""

"""One file a service that is called, and the twins of the ports for tests."""

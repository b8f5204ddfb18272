"""Values of the interface's domain as messages of the contract, for the servicers and the adapters alike."""

"""The pure domain that all services share: cubes, names, states, permission, lineage, errors."""

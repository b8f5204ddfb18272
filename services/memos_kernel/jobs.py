"""Jobs that one service orders and the scheduler runs: their kinds, and the names of their parameters."""

RESTORE_VAULT = "restore_vault"
"""Takes a vault back to a moment."""

AS_OF = "as_of"
"""The moment, RFC 3339."""

BUILD_ACTIVATION = "build_activation"
"""Makes a KV cache of memories."""

TRAIN_ADAPTER = "train_adapter"
"""Trains a LoRA adapter on memories."""

RECOVER_TEXT = "recover_text"
"""Writes down as text what a KV cache or an adapter holds."""

CUBES = "cubes"
"""Ids of cubes of the job's vault, with commas between them."""

CUBE = "cube"
"""Name of the cube that a job made."""

PURGE = "purge"
"""Erases what a purge names; its one parameter, of the same name, names the purge, so that no content is in a job."""

SNAPSHOT = "snapshot"
"""Name of the snapshot that was asked for."""

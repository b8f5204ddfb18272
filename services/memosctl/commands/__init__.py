"""The commands, a group a file. Nothing heavy is imported until a command runs."""

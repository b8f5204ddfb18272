"""The offline default language model: its data, training, examination and checkpoint."""

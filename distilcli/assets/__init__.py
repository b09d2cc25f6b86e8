"""The bundled model and its demo recording (data only)."""
